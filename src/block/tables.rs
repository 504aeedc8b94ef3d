//! `traces.parquet` and `resources.parquet` as record batches.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, FixedSizeBinaryArray, ListArray, RecordBatch, StringArray, StructArray,
    UInt32Array, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Schema};

use super::Error;
use crate::columns::{NO_ROOT, Resource, ResourceParts, TraceTable};
use crate::trace::Value;

fn utf8(name: &str) -> Field {
    Field::new(name, DataType::Utf8, false)
}

fn service_fields() -> Fields {
    vec![
        utf8("service"),
        Field::new("spans", DataType::UInt32, false),
        Field::new("errors", DataType::UInt32, false),
    ]
    .into()
}

fn attribute_fields() -> Fields {
    vec![utf8("key"), utf8("value")].into()
}

fn list_field(name: &str, fields: Fields) -> Field {
    let element = Field::new("element", DataType::Struct(fields), false);
    Field::new(name, DataType::List(Arc::new(element)), false)
}

fn list(offsets: Vec<i32>, fields: Fields, columns: Vec<ArrayRef>) -> Result<ArrayRef, Error> {
    let items = StructArray::try_new(fields.clone(), columns, None)?;
    let element = Arc::new(Field::new("element", DataType::Struct(fields), false));
    Ok(Arc::new(ListArray::try_new(
        element,
        OffsetBuffer::new(offsets.into()),
        Arc::new(items),
        None,
    )?))
}

/// The columns of `traces.parquet`.
pub(super) fn traces_schema() -> Schema {
    Schema::new(vec![
        Field::new("trace_id", DataType::FixedSizeBinary(16), false),
        Field::new("first_row", DataType::UInt64, false),
        Field::new("spans", DataType::UInt32, false),
        Field::new("start_ns", DataType::UInt64, false),
        Field::new("end_ns", DataType::UInt64, false),
        Field::new("root_row", DataType::UInt32, true),
        utf8("root_service"),
        utf8("root_name"),
        list_field("services", service_fields()),
    ])
}

/// All traces of a block.
pub(super) fn traces(table: &TraceTable) -> Result<RecordBatch, Error> {
    let ids: Vec<u8> = table.id.iter().flat_map(|id| id.0).collect();
    let texts = |codes: &[u32]| -> ArrayRef {
        let texts = codes.iter().map(|code| table.strings.text(*code));
        Arc::new(StringArray::from_iter_values(texts))
    };
    let services = &table.services;
    let names = services.iter().map(|stats| table.strings.text(stats.service));
    let stats: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(names)),
        Arc::new(UInt32Array::from_iter_values(services.iter().map(|stats| stats.spans))),
        Arc::new(UInt32Array::from_iter_values(services.iter().map(|stats| stats.errors))),
    ];
    let offsets = table.first_service.iter().map(|first| first.cast_signed()).collect();
    let counts = table.first_row.windows(2).map(|pair| pair[1] - pair[0]);
    let firsts = table.first_row[..table.len()].iter().map(|row| u64::from(*row));
    let roots = table.root.iter().map(|root| (*root != NO_ROOT).then_some(*root));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(FixedSizeBinaryArray::try_new(16, ids.into(), None)?),
        Arc::new(UInt64Array::from_iter_values(firsts)),
        Arc::new(UInt32Array::from_iter_values(counts)),
        Arc::new(UInt64Array::from(table.start.clone())),
        Arc::new(UInt64Array::from(table.end.clone())),
        Arc::new(roots.collect::<UInt32Array>()),
        texts(&table.root_service),
        texts(&table.root_name),
        list(offsets, service_fields(), stats)?,
    ];
    Ok(RecordBatch::try_new(Arc::new(traces_schema()), columns)?)
}

/// The columns of `resources.parquet`.
pub(super) fn resources_schema() -> Schema {
    let binary = |name: &str, nullable| Field::new(name, DataType::Binary, nullable);
    Schema::new(vec![
        Field::new("resource", DataType::UInt64, false),
        utf8("service_name"),
        utf8("scope_name"),
        utf8("scope_version"),
        list_field("attributes", attribute_fields()),
        binary("resource_message", true),
        utf8("resource_schema_url"),
        binary("resource_unknown", false),
        binary("scope_message", true),
        utf8("scope_schema_url"),
        binary("scope_unknown", false),
    ])
}

/// Some resources and the keys they are stored under, in the order given.
pub(super) fn resources(keyed: &[(u64, Arc<Resource>)]) -> Result<RecordBatch, Error> {
    fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(values))
    }
    let resources: Vec<&Resource> = keyed.iter().map(|(_, resource)| &**resource).collect();
    let parts = |part: fn(&ResourceParts) -> &str| {
        texts(resources.iter().map(|resource| part(resource.parts())))
    };
    let bytes = |part: fn(&ResourceParts) -> Option<&[u8]>| -> ArrayRef {
        let values = resources.iter().map(|resource| part(resource.parts()));
        Arc::new(values.collect::<BinaryArray>())
    };
    let (mut offsets, mut keys, mut values) = (vec![0_i32], Vec::new(), Vec::new());
    for resource in &resources {
        for (key, value) in &resource.view().attributes {
            keys.push(key.as_str());
            values.push(readable(value));
        }
        offsets.push(i32::try_from(keys.len()).map_err(|_| Error::Corrupt {
            part: "resources.parquet",
            what: "more than 2 Gi attributes",
        })?);
    }
    let attributes: Vec<ArrayRef> =
        vec![texts(keys.into_iter()), texts(values.iter().map(String::as_str))];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt64Array::from_iter_values(keyed.iter().map(|(key, _)| *key))),
        texts(resources.iter().map(|resource| &**resource.service_name())),
        texts(resources.iter().map(|resource| resource.view().scope_name.as_str())),
        texts(resources.iter().map(|resource| resource.view().scope_version.as_str())),
        list(offsets, attribute_fields(), attributes)?,
        bytes(|parts| parts.resource.as_deref()),
        parts(|parts| &parts.resource_schema_url),
        bytes(|parts| Some(&parts.resource_unknown)),
        bytes(|parts| parts.scope.as_deref()),
        parts(|parts| &parts.scope_schema_url),
        bytes(|parts| Some(&parts.scope_unknown)),
    ];
    Ok(RecordBatch::try_new(Arc::new(resources_schema()), columns)?)
}

/// A value as a person would write it: for reading with other tools, never read by us.
fn readable(value: &Value) -> String {
    match value {
        Value::Empty => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Double(value) => value.to_string(),
        Value::Bytes(bytes) => const_hex::encode(bytes),
        Value::Array(values) => {
            format!("[{}]", values.iter().map(readable).collect::<Vec<_>>().join(", "))
        }
        Value::Map(entries) => {
            let entry = |(key, value): &(String, Value)| format!("{key}: {}", readable(value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}
