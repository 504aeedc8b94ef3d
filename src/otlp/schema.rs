//! The messages of OTLP traces as a table: names, numbers and types of their fields, in the order in which Tempo prints them.

/// A message type.
pub(super) struct Message {
    /// As errors name it.
    pub(super) name: &'static str,
    pub(super) fields: &'static [FieldDef],
    /// Whether all fields are members of one `oneof`: the last that is set counts, and a zero is a value.
    pub(super) oneof: bool,
}

pub(super) struct FieldDef {
    pub(super) number: u32,
    /// Name in JSON.
    pub(super) json: &'static str,
    /// Name in the `.proto` file, which parsers of JSON must accept too.
    pub(super) proto: &'static str,
    pub(super) kind: Kind,
    pub(super) repeated: bool,
    /// Whether Tempo's JSON has it. Grafana refuses fields that it does not know.
    pub(super) printed: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Message(&'static Message),
    Text,
    /// Bytes that OTLP/JSON writes in hex.
    Id,
    Bytes,
    Bool,
    Uint32,
    Fixed32,
    Fixed64,
    Int64,
    Double,
    /// The names of the numbers from 0.
    Enum(&'static [&'static str]),
}

impl Message {
    pub(super) fn by_name(&self, name: &str) -> Option<&'static FieldDef> {
        self.fields.iter().find(|field| field.json == name || field.proto == name)
    }

    pub(super) fn by_number(&self, number: u32) -> Option<&'static FieldDef> {
        self.fields.iter().find(|field| field.number == number)
    }
}

const fn one(number: u32, json: &'static str, proto: &'static str, kind: Kind) -> FieldDef {
    FieldDef { number, json, proto, kind, repeated: false, printed: true }
}

const fn many(
    number: u32,
    json: &'static str,
    proto: &'static str,
    message: &'static Message,
) -> FieldDef {
    FieldDef { number, json, proto, kind: Kind::Message(message), repeated: true, printed: true }
}

/// `ExportTraceServiceRequest`, `TracesData` and Tempo's `Trace`: all have the same form.
pub(super) static REQUEST: Message = Message {
    name: "an OTLP trace request",
    fields: &[many(1, "resourceSpans", "resource_spans", &RESOURCE_SPANS)],
    oneof: false,
};

/// The same as Tempo's first API names it.
pub(super) static BATCHES: Message = Message {
    name: "a trace",
    fields: &[many(1, "batches", "batches", &RESOURCE_SPANS)],
    oneof: false,
};

static RESOURCE_SPANS: Message = Message {
    name: "a ResourceSpans",
    fields: &[
        one(1, "resource", "resource", Kind::Message(&RESOURCE)),
        many(2, "scopeSpans", "scope_spans", &SCOPE_SPANS),
        one(3, "schemaUrl", "schema_url", Kind::Text),
    ],
    oneof: false,
};

static RESOURCE: Message = Message {
    name: "a Resource",
    fields: &[
        many(1, "attributes", "attributes", &KEY_VALUE),
        one(2, "droppedAttributesCount", "dropped_attributes_count", Kind::Uint32),
        FieldDef { printed: false, ..many(3, "entityRefs", "entity_refs", &ENTITY_REF) },
    ],
    oneof: false,
};

static ENTITY_REF: Message = Message {
    name: "an EntityRef",
    fields: &[
        one(1, "schemaUrl", "schema_url", Kind::Text),
        one(2, "type", "type", Kind::Text),
        FieldDef { repeated: true, ..one(3, "idKeys", "id_keys", Kind::Text) },
        FieldDef { repeated: true, ..one(4, "descriptionKeys", "description_keys", Kind::Text) },
    ],
    oneof: false,
};

static SCOPE_SPANS: Message = Message {
    name: "a ScopeSpans",
    fields: &[
        one(1, "scope", "scope", Kind::Message(&SCOPE)),
        many(2, "spans", "spans", &SPAN),
        one(3, "schemaUrl", "schema_url", Kind::Text),
    ],
    oneof: false,
};

static SCOPE: Message = Message {
    name: "an InstrumentationScope",
    fields: &[
        one(1, "name", "name", Kind::Text),
        one(2, "version", "version", Kind::Text),
        many(3, "attributes", "attributes", &KEY_VALUE),
        one(4, "droppedAttributesCount", "dropped_attributes_count", Kind::Uint32),
    ],
    oneof: false,
};

static SPAN: Message = Message {
    name: "a Span",
    fields: &[
        one(1, "traceId", "trace_id", Kind::Id),
        one(2, "spanId", "span_id", Kind::Id),
        one(3, "traceState", "trace_state", Kind::Text),
        one(4, "parentSpanId", "parent_span_id", Kind::Id),
        one(16, "flags", "flags", Kind::Fixed32),
        one(5, "name", "name", Kind::Text),
        one(6, "kind", "kind", Kind::Enum(&SPAN_KINDS)),
        one(7, "startTimeUnixNano", "start_time_unix_nano", Kind::Fixed64),
        one(8, "endTimeUnixNano", "end_time_unix_nano", Kind::Fixed64),
        many(9, "attributes", "attributes", &KEY_VALUE),
        one(10, "droppedAttributesCount", "dropped_attributes_count", Kind::Uint32),
        many(11, "events", "events", &EVENT),
        one(12, "droppedEventsCount", "dropped_events_count", Kind::Uint32),
        many(13, "links", "links", &LINK),
        one(14, "droppedLinksCount", "dropped_links_count", Kind::Uint32),
        one(15, "status", "status", Kind::Message(&STATUS)),
    ],
    oneof: false,
};

static SPAN_KINDS: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];

static EVENT: Message = Message {
    name: "an Event",
    fields: &[
        one(1, "timeUnixNano", "time_unix_nano", Kind::Fixed64),
        one(2, "name", "name", Kind::Text),
        many(3, "attributes", "attributes", &KEY_VALUE),
        one(4, "droppedAttributesCount", "dropped_attributes_count", Kind::Uint32),
    ],
    oneof: false,
};

static LINK: Message = Message {
    name: "a Link",
    fields: &[
        one(1, "traceId", "trace_id", Kind::Id),
        one(2, "spanId", "span_id", Kind::Id),
        one(3, "traceState", "trace_state", Kind::Text),
        many(4, "attributes", "attributes", &KEY_VALUE),
        one(5, "droppedAttributesCount", "dropped_attributes_count", Kind::Uint32),
        one(6, "flags", "flags", Kind::Fixed32),
    ],
    oneof: false,
};

static STATUS: Message = Message {
    name: "a Status",
    fields: &[
        one(2, "message", "message", Kind::Text),
        one(3, "code", "code", Kind::Enum(&STATUS_CODES)),
    ],
    oneof: false,
};

static STATUS_CODES: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];

static KEY_VALUE: Message = Message {
    name: "a KeyValue",
    fields: &[
        one(1, "key", "key", Kind::Text),
        one(2, "value", "value", Kind::Message(&ANY_VALUE)),
    ],
    oneof: false,
};

static ANY_VALUE: Message = Message {
    name: "an AnyValue",
    fields: &[
        one(1, "stringValue", "string_value", Kind::Text),
        one(2, "boolValue", "bool_value", Kind::Bool),
        one(3, "intValue", "int_value", Kind::Int64),
        one(4, "doubleValue", "double_value", Kind::Double),
        one(5, "arrayValue", "array_value", Kind::Message(&ARRAY_VALUE)),
        one(6, "kvlistValue", "kvlist_value", Kind::Message(&KEY_VALUE_LIST)),
        one(7, "bytesValue", "bytes_value", Kind::Bytes),
    ],
    oneof: true,
};

static ARRAY_VALUE: Message = Message {
    name: "an ArrayValue",
    fields: &[many(1, "values", "values", &ANY_VALUE)],
    oneof: false,
};

static KEY_VALUE_LIST: Message = Message {
    name: "a KeyValueList",
    fields: &[many(1, "values", "values", &KEY_VALUE)],
    oneof: false,
};
