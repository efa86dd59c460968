// From a panel's queries to data frames, as Grafana's own data source makes them.
import { FieldType, rangeUtil } from '@grafana/data';

const ALL = '$__all';
const SMALLEST_STEP_MS = 15_000;

/** Ask the API. Rejects with Prometheus's own words. */
async function ask(base, path, parameters) {
  const answer = await fetch(`${base}/api/v1/${path}`, { method: 'POST', body: new URLSearchParams(parameters) });
  const body = await answer.json();
  if (body.status !== 'success') {
    throw new Error(body.error);
  }
  return body.data;
}

/** What stands for a variable in a query, by its name. Variables that ask are answered with all that there is. */
export function valuesOf(dashboard) {
  const values = {};
  for (const variable of dashboard.templating?.list ?? []) {
    const chosen = variable.current?.value ?? variable.query ?? '';
    const first = Array.isArray(chosen) ? chosen[0] : chosen;
    const isAll = first === ALL || (variable.includeAll && first === '');
    values[variable.name] = isAll ? (variable.allValue ?? '.*') : first;
  }
  return values;
}

/** What the bar above a dashboard shows of a variable. */
export function shownOf(variable) {
  const text = variable.current?.text ?? 'All';
  return Array.isArray(text) ? text.join(' + ') : text;
}

/** Put values in the place of $name, ${name} and ${name:format}. */
export function substituted(text, values) {
  return text.replace(/\$(?:\{(\w+)(?::\w+)?\}|(\w+))/g, (whole, braced, plain) => values[braced ?? plain] ?? whole);
}

/** The step of a graph and what depends on it. `scrape` is the time between two scrapes, in seconds. */
function intervals(panel, range, width, scrape) {
  const span = range.to - range.from;
  const least = panel.interval ? rangeUtil.intervalToMs(panel.interval.replace(/^>/, '')) : SMALLEST_STEP_MS;
  const interval = Math.max(rangeUtil.roundInterval(span / (panel.maxDataPoints ?? Math.max(width, 100))), least);
  const rate = Math.max(interval + scrape * 1000, 4 * scrape * 1000);
  return {
    step: interval / 1000,
    built_in: {
      __interval: rangeUtil.secondsToHms(interval / 1000),
      __interval_ms: String(interval),
      __rate_interval: `${rate / 1000}s`,
      __range: `${Math.round(span / 1000)}s`,
      __range_s: String(Math.round(span / 1000)),
      __range_ms: String(span),
    },
  };
}

/** Ask all queries of a panel; returns frames. */
export async function framesOf(panel, { base, values, range, width, scrape }) {
  const { step, built_in } = intervals(panel, range, width, scrape);
  const wanted = (panel.targets ?? []).filter((target) => !target.hide);
  const answered = await Promise.all(
    wanted.map(async (target) => {
      const query = substituted(target.expr, { ...values, ...built_in });
      const result = target.instant && !target.range
        ? await ask(base, 'query', { query, time: range.to / 1000 })
        : await ask(base, 'query_range', aligned(query, range, step));
      return shaped(result, target, wanted.length, step);
    })
  );
  return answered.flat();
}

function aligned(query, range, step) {
  const start = Math.floor(range.from / 1000 / step) * step;
  return { query, start, end: Math.floor(range.to / 1000 / step) * step, step };
}

function shaped(result, target, howMany, step) {
  if (target.format === 'table') {
    return [tableOf(result, target.refId, howMany > 1 ? `Value #${target.refId}` : 'Value')];
  }
  if (result.resultType === 'scalar') {
    return [seriesOf({ metric: {}, values: [result.result] }, target, step)];
  }
  const frames = result.result.map((series) => seriesOf(series, target, step));
  return target.format === 'heatmap' ? bucketsOf(frames) : frames;
}

function seriesOf({ metric, value, values }, target, step) {
  const samples = values ?? [value];
  const { __name__: name, ...labels } = metric;
  const legend = target.legendFormat;
  const isNamed = legend && legend !== '__auto';
  const config = isNamed ? { displayNameFromDS: legend.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => metric[label] ?? '') } : {};
  return {
    refId: target.refId,
    name: isNamed ? undefined : name,
    meta: { type: 'timeseries-multi' },
    fields: [
      { name: 'Time', type: FieldType.time, config: { interval: step * 1000 }, values: samples.map(([at]) => at * 1000) },
      { name: 'Value', type: FieldType.number, labels, config, values: samples.map(([, text]) => known(numberOf(text))) },
    ],
    length: samples.length,
  };
}

function tableOf(result, refId, valueName) {
  const rows = result.resultType === 'scalar' ? [{ metric: {}, value: result.result }] : result.result;
  const labels = [...new Set(rows.flatMap((row) => Object.keys(row.metric)))].sort();
  const column = (name, type, of) => ({ name, type, config: {}, values: rows.map(of) });
  return {
    refId,
    fields: [
      column('Time', FieldType.time, (row) => (row.value ?? row.values.at(-1))[0] * 1000),
      ...labels.map((label) => column(label, FieldType.string, (row) => row.metric[label] ?? '')),
      column(valueName, FieldType.number, (row) => numberOf((row.value ?? row.values.at(-1))[1])),
    ],
    length: rows.length,
  };
}

/** Sort the buckets of a histogram and take from each what is in the one below. */
function bucketsOf(frames) {
  const bound = (frame) => numberOf(frame.fields[1].labels.le ?? '+Inf');
  const sorted = [...frames].sort((one, other) => bound(one) - bound(other));
  return sorted.map((frame, index) => {
    const below = index ? new Map(sorted[index - 1].fields[0].values.map((at, i) => [at, sorted[index - 1].fields[1].values[i]])) : new Map();
    const [time, value] = frame.fields;
    const own = value.values.map((each, i) => Math.max(0, each - (below.get(time.values[i]) ?? 0)));
    return { ...frame, fields: [time, { ...value, name: value.labels.le ?? '', values: own }] };
  });
}

/** What is no number leaves a gap in a graph. */
function known(value) {
  return Number.isNaN(value) ? null : value;
}

function numberOf(text) {
  return { '+Inf': Infinity, '-Inf': -Infinity, NaN: NaN }[text] ?? Number(text);
}

/** Ask what the dashboard's annotations mark: times with a colour. */
export async function annotationsOf(dashboard, { base, values, range }) {
  const asked = (dashboard.annotations?.list ?? []).filter((each) => each.enable && each.expr && !each.hide);
  const marks = await Promise.all(
    asked.map(async (annotation) => {
      const step = rangeUtil.intervalToMs(annotation.step || '60s') / 1000;
      const result = await ask(base, 'query_range', aligned(substituted(annotation.expr, values), range, step));
      return result.result.flatMap((series) => beginnings(series.values, step).map((at) => ({ at, color: annotation.iconColor })));
    })
  );
  return marks.flat();
}

/** The first moment of each stretch of samples: Grafana draws the rest of it as a region. */
function beginnings(samples, step) {
  return samples.filter(([at, text], i) => Number(text) && !(i && at - samples[i - 1][0] <= step)).map(([at]) => at * 1000);
}
