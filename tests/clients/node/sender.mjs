// Sends traces with the JavaScript OpenTelemetry SDK by one of its exporters, and prints as JSON what it sent.
//
//     node sender.mjs json|protobuf|grpc ENDPOINT [none|gzip]
import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { OTLPTraceExporter as GrpcExporter } from '@opentelemetry/exporter-trace-otlp-grpc';

const TRACES = 20;
const [kind, endpoint, compression = 'none'] = process.argv.slice(2);
const Exporter = { json: JsonExporter, protobuf: ProtobufExporter, grpc: GrpcExporter }[kind];
if (!Exporter || !endpoint) {
  throw new Error('usage: sender.mjs json|protobuf|grpc ENDPOINT [none|gzip]');
}

const exporter = new Exporter({ url: endpoint, compression, timeoutMillis: 20000 });
const results = [];
const watched = {
  export(spans, done) {
    exporter.export(spans, (result) => {
      results.push({ spans: spans.length, code: result.code, error: result.error?.message });
      done(result);
    });
  },
  forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve(),
  shutdown: () => exporter.shutdown(),
};
const resource = { 'service.name': `node-${kind}`, 'service.replicas': 3, 'service.beta': true };
const provider = new BasicTracerProvider({
  resource: resourceFromAttributes(resource),
  spanProcessors: [new BatchSpanProcessor(watched)],
});
const tracer = provider.getTracer('node-sender', '1.2.3');

const sent = [];
for (let number = 0; number < TRACES; number += 1) {
  const attributes = { 'test.number': number, 'test.ratio': number + 0.5, 'test.name': `näme ${number}`, 'test.flags': ['a', 'b'] };
  const root = tracer.startSpan(`root ${number}`, { kind: SpanKind.SERVER, attributes });
  const child = tracer.startSpan('child', { kind: SpanKind.CLIENT }, trace.setSpan(context.active(), root));
  child.addEvent('retry', { attempt: 2 });
  child.setStatus({ code: SpanStatusCode.ERROR, message: 'refused' });
  child.end();
  root.end();
  sent.push({ trace: root.spanContext().traceId, root: root.spanContext().spanId, child: child.spanContext().spanId, attributes });
}
await provider.forceFlush();
await provider.shutdown();
const refused = results.filter((result) => result.code !== 0);
if (refused.length > 0) {
  throw new Error(`refused: ${JSON.stringify(refused)}`);
}
console.log(JSON.stringify({ kind, resource, scope: ['node-sender', '1.2.3'], sent }));
