//! What `check` has found, told as lines or as JSON.

use std::fmt::Display;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::text::{bytes, count};
use crate::tenant::TenantId;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Data cannot be read, or is not what was written.
    Wrong,
    /// Nothing refers to it: it takes room, and will be swept.
    Orphan,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub kind: Kind,
    /// A key in the bucket; a folder ends in `/`.
    pub key: String,
    pub what: String,
}

/// What was read of one tenant.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub manifest: Option<u64>,
    pub manifests: u64,
    pub segments: u64,
    pub packs: u64,
    pub blocks: u64,
    pub objects: u64,
    pub bytes: u64,
    pub spans: u64,
    /// Folders of blocks that left the list a while ago, or are not in it yet: no orphans.
    pub waiting: u64,
    /// All manifests and segments could be read. Else nobody knows what is an orphan.
    pub is_list_whole: bool,
    pub findings: Vec<Finding>,
}

impl Report {
    pub(super) fn wrong(&mut self, key: impl Display, what: impl Into<String>) {
        self.add(Kind::Wrong, key, what);
    }

    pub(super) fn orphan(&mut self, key: impl Display, what: impl Into<String>) {
        self.add(Kind::Orphan, key, what);
    }

    fn add(&mut self, kind: Kind, key: impl Display, what: impl Into<String>) {
        self.findings.push(Finding { kind, key: key.to_string(), what: what.into() });
    }

    pub(super) fn count(&self, kind: Kind) -> u64 {
        self.findings.iter().filter(|finding| finding.kind == kind).count() as u64
    }

    pub(super) fn tell(&self, tenant: &TenantId, out: &mut dyn Write) -> io::Result<()> {
        let manifest = match self.manifest {
            Some(number) => format!("manifest {number}"),
            None => "no manifest that can be read".to_owned(),
        };
        writeln!(
            out,
            "tenant {tenant}: {manifest}; read {}, {}, {}, {} with {}, {}, {}",
            count(self.manifests, "manifest"),
            count(self.segments, "segment"),
            count(self.packs, "pack"),
            count(self.blocks, "block"),
            count(self.objects, "object"),
            count(self.spans, "span"),
            bytes(self.bytes),
        )?;
        if self.waiting > 0 {
            writeln!(
                out,
                "  {} not in the list yet, or no more: young, or read by queries under way",
                count(self.waiting, "block folder"),
            )?;
        }
        if !self.is_list_whole {
            writeln!(out, "  the list of blocks is damaged: orphans are not looked for")?;
        }
        for Finding { kind, key, what } in &self.findings {
            let kind = match kind {
                Kind::Wrong => "WRONG ",
                Kind::Orphan => "ORPHAN",
            };
            writeln!(out, "  {kind}  {key}: {what}")?;
        }
        Ok(())
    }

    pub(super) fn document(&self, tenant: &TenantId) -> Value {
        let of = |kind: Kind| -> Value {
            let findings = self.findings.iter().filter(|finding| finding.kind == kind);
            findings.map(|finding| json!({ "key": finding.key, "what": finding.what })).collect()
        };
        json!({
            "tenant": tenant.as_str(),
            "manifest": self.manifest,
            "manifests": self.manifests,
            "segments": self.segments,
            "packs": self.packs,
            "blocks": self.blocks,
            "objects": self.objects,
            "spans": self.spans,
            "bytes": self.bytes,
            "waitingFolders": self.waiting,
            "wrong": of(Kind::Wrong),
            "orphans": of(Kind::Orphan),
        })
    }
}
