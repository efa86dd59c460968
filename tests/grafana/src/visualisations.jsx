// The kinds of panels, by Grafana's word for them. State timelines and heatmaps are not among its components on npm:
// these two are drawn here, with Grafana's colours, units and mappings.
import {
  FieldType,
  formattedValueToString,
  getDisplayProcessor,
  getFieldDisplayName,
  getFieldDisplayValues,
  renderTextPanelMarkdown,
} from '@grafana/data';
import { BarGauge as GrafanaBarGauge, BigValue, TimeSeries as GrafanaTimeSeries, VizLegend, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import { useLayoutEffect, useRef } from 'react';

const LEGEND_ROW = 22;

function displayed(panel, frames, theme) {
  return getFieldDisplayValues({
    data: frames,
    reduceOptions: panel.options?.reduceOptions ?? { calcs: ['lastNotNull'] },
    fieldConfig: panel.fieldConfig,
    replaceVariables: (text) => text,
    theme,
    timeZone: 'utc',
    sparkline: (panel.options?.graphMode ?? 'none') !== 'none',
  });
}

function Stat({ panel, frames, width, height, theme }) {
  const { orientation = 'auto', colorMode = 'value', graphMode = 'none', textMode = 'auto', justifyMode = 'auto' } = panel.options ?? {};
  const render = ({ value, width, height, count }) => (
    <BigValue
      {...{ width, height, colorMode, graphMode, textMode, justifyMode, theme, count }}
      value={value.display}
      sparkline={value.sparkline}
      text={panel.options?.text}
    />
  );
  return (
    <VizRepeater
      {...{ width, height, orientation, source: frames, renderCounter: 0, autoGrid: true }}
      getValues={() => displayed(panel, frames, theme)}
      renderValue={render}
    />
  );
}

function BarGauge({ panel, frames, width, height, theme }) {
  const { orientation = 'horizontal', displayMode = 'gradient', showUnfilled = true, valueMode, namePlacement } = panel.options ?? {};
  const render = ({ value, width, height, orientation }) => (
    <GrafanaBarGauge
      {...{ width, height, orientation, displayMode, showUnfilled, theme, namePlacement }}
      valueDisplayMode={valueMode}
      field={value.field}
      display={value.view?.getFieldDisplayProcessor(value.colIndex)}
      value={value.display}
      text={panel.options?.text}
    />
  );
  return (
    <VizRepeater
      {...{ width, height, orientation, source: frames, renderCounter: 0, itemSpacing: 8, minVizHeight: 16, maxVizHeight: 40 }}
      getValues={() => displayed(panel, frames, theme)}
      renderValue={render}
    />
  );
}

function TimeSeries({ panel, frames, width, height, range, marks }) {
  // Colours by name look at the field's own name once the series are joined.
  const named = frames.map((frame) => ({
    ...frame,
    fields: frame.fields.map((field) => (field.type === FieldType.time ? field : { ...field, name: getFieldDisplayName(field, frame, frames) })),
  }));
  const legend = panel.options?.legend ?? { showLegend: true, displayMode: 'list', placement: 'bottom', calcs: [] };
  return (
    <GrafanaTimeSeries
      {...{ frames: named, width, height, legend, timeRange: range, timeZone: 'utc', structureRev: 1 }}
      options={panel.options ?? {}}
    >
      {(config) => <Marks config={config} marks={marks} />}
    </GrafanaTimeSeries>
  );
}

/** Draws annotations as Grafana does: a dashed line, and a triangle below it. */
function Marks({ config, marks }) {
  const isHooked = useRef(false);
  if (!isHooked.current) {
    isHooked.current = true;
    config.addHook('draw', (plot) => drawMarks(plot, marks));
  }
  return null;
}

function drawMarks(plot, marks) {
  const { ctx } = plot;
  const { left, top, width, height } = plot.bbox;
  ctx.save();
  for (const { at, color } of marks) {
    const x = Math.round(plot.valToPos(at, 'x', true));
    if (x < left || x > left + width) {
      continue;
    }
    ctx.strokeStyle = ctx.fillStyle = color;
    ctx.globalAlpha = 0.6;
    ctx.setLineDash([4, 4]);
    ctx.beginPath();
    ctx.moveTo(x, top);
    ctx.lineTo(x, top + height);
    ctx.stroke();
    ctx.beginPath();
    ctx.moveTo(x, top + height);
    ctx.lineTo(x - 4, top + height + 6);
    ctx.lineTo(x + 4, top + height + 6);
    ctx.fill();
  }
  ctx.restore();
}

function Table({ panel, frames, width, height, range }) {
  const { sortBy = [], showHeader = true, cellHeight = 'sm' } = panel.options ?? {};
  return (
    <TableNG
      {...{ width, height, sortBy, cellHeight, timeRange: range, noHeader: !showHeader, enableVirtualization: false }}
      data={frames[0]}
      fieldConfig={panel.fieldConfig}
    />
  );
}

function Text({ panel }) {
  const { content = '', mode = 'markdown' } = panel.options ?? {};
  const html = mode === 'markdown' ? renderTextPanelMarkdown(content) : content;
  return <div className="markdown-html" dangerouslySetInnerHTML={{ __html: html }} />;
}

/** The columns and rows of a plot below each other, the axis of time at its foot. */
function useCanvas(width, height, draw) {
  const canvas = useRef(null);
  useLayoutEffect(() => {
    const context = canvas.current.getContext('2d');
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.clearRect(0, 0, width, height);
    draw(context);
  });
  return <canvas ref={canvas} width={width * devicePixelRatio} height={height * devicePixelRatio} style={{ width, height, display: 'block' }} />;
}

const AXIS = 20;
const FONT = '12px Inter, Helvetica, Arial, sans-serif';

function drawTimes(context, { left, width, height, range, theme }) {
  const [from, to] = [range.from.valueOf(), range.to.valueOf()];
  const steps = [5, 10, 15, 30, 60, 120, 180, 360, 720].map((minutes) => minutes * 60_000);
  const step = steps.find((each) => (to - from) / each <= width / 70) ?? steps.at(-1);
  context.font = FONT;
  context.textAlign = 'center';
  context.fillStyle = theme.colors.text.primary;
  context.strokeStyle = theme.colors.border.weak;
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
    const x = left + ((at - from) / (to - from)) * width;
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, height - AXIS);
    context.stroke();
    context.fillText(new Date(at).toISOString().slice(11, 16), x, height - 5);
  }
}

function StateTimeline({ panel, frames, width, height, range, theme }) {
  const rows = frames.flatMap((frame) => {
    const time = frame.fields.find(({ type }) => type === FieldType.time);
    return frame.fields.filter((field) => field !== time).map((field) => ({ time, field, name: getFieldDisplayName(field, frame, frames) }));
  });
  const { rowHeight = 0.9, showValue = 'auto', mergeValues = true, legend } = panel.options ?? {};
  const alpha = (panel.fieldConfig?.defaults?.custom?.fillOpacity ?? 70) / 100;
  const items = new Map();
  for (const { field } of rows) {
    for (const value of field.values) {
      const shown = field.display(value);
      items.set(shown.text, { label: shown.text, color: shown.color, yAxis: 1 });
    }
  }
  const hasLegend = legend?.showLegend !== false;
  const plotHeight = height - (hasLegend ? LEGEND_ROW * Math.ceil((items.size * 150) / width) + 8 : 0);
  const canvas = useCanvas(width, plotHeight, (context) => {
    context.font = FONT;
    const left = Math.min(width / 3, Math.max(...rows.map(({ name }) => context.measureText(name).width)) + 12);
    const line = (plotHeight - AXIS) / rows.length;
    const across = width - left;
    const [from, to] = [range.from.valueOf(), range.to.valueOf()];
    const place = (at) => left + (Math.min(Math.max(at, from), to) - from) / (to - from) * across;
    drawTimes(context, { left, width: across, height: plotHeight, range, theme });
    rows.forEach(({ time, field, name }, row) => {
      const y = row * line + (line * (1 - rowHeight)) / 2;
      context.globalAlpha = 1;
      context.textAlign = 'right';
      context.fillStyle = theme.colors.text.primary;
      context.fillText(name, left - 8, row * line + line / 2 + 4, left - 8);
      for (const { since, until, value } of stretches(time, field, mergeValues)) {
        const shown = field.display(value);
        const [x, end] = [place(since), place(until)];
        context.globalAlpha = alpha;
        context.fillStyle = shown.color;
        context.fillRect(x, y, end - x, line * rowHeight);
        context.globalAlpha = 1;
        const room = end - x - 8;
        if (showValue !== 'never' && context.measureText(shown.text).width <= room && line > 14) {
          context.textAlign = 'left';
          context.fillStyle = theme.colors.getContrastText(shown.color);
          context.fillText(shown.text, x + 4, row * line + line / 2 + 4);
        }
      }
    });
  });
  return (
    <div>
      {canvas}
      {hasLegend && <VizLegend placement="bottom" displayMode="list" items={[...items.values()]} />}
    </div>
  );
}

/** Equal values that follow each other, as one; a gap of more than two steps parts them. */
function stretches(time, field, merges) {
  const step = time.config.interval ?? 60_000;
  const found = [];
  time.values.forEach((at, i) => {
    const value = field.values[i];
    const last = found.at(-1);
    if (merges && last && last.value === value && at - last.until <= step) {
      last.until = at + step;
    } else if (value !== null && value !== undefined) {
      found.push({ since: at, until: at + step, value });
    }
  });
  return found;
}

const SCHEME = { Oranges: ['#fff5eb', '#fdd0a2', '#fd8d3c', '#d94801', '#7f2704'] };

function Heatmap({ panel, frames, width, height, range, theme }) {
  const { color = {}, cellGap = 1, yAxis = {} } = panel.options ?? {};
  const scheme = SCHEME[color.scheme] ?? SCHEME.Oranges;
  const ramp = theme.isDark ? [...scheme].reverse() : scheme;
  const rows = frames.map((frame) => ({ bound: frame.fields[1].name, time: frame.fields[0], values: frame.fields[1].values }));
  const most = Math.max(...rows.flatMap(({ values }) => values), 0);
  const format = getDisplayProcessor({ field: { name: '', type: FieldType.number, values: [], config: { unit: yAxis.unit } }, theme });
  const canvas = useCanvas(width, height, (context) => {
    context.font = FONT;
    const texts = rows.map(({ bound }) => (bound === '+Inf' ? '+Inf' : formattedValueToString(format(Number(bound)))));
    const left = Math.max(...texts.map((text) => context.measureText(text).width)) + 12;
    const line = (height - AXIS) / rows.length;
    const across = width - left;
    const [from, to] = [range.from.valueOf(), range.to.valueOf()];
    drawTimes(context, { left, width: across, height, range, theme });
    rows.forEach(({ time, values }, row) => {
      const y = height - AXIS - (row + 1) * line;
      const step = time.config.interval;
      const thinning = Math.ceil(14 / line);
      if (row % thinning === 0) {
        context.textAlign = 'right';
        context.fillStyle = theme.colors.text.primary;
        context.fillText(texts[row], left - 6, y + line / 2 + 4);
      }
      values.forEach((value, i) => {
        if (!(value > 0)) {
          return;
        }
        const x = left + ((time.values[i] - step - from) / (to - from)) * across;
        const share = (value / most) ** (color.exponent ?? 0.5);
        context.fillStyle = between(ramp, share);
        context.fillRect(Math.max(x, left), y + cellGap / 2, Math.max(1, (step / (to - from)) * across - cellGap), line - cellGap);
      });
    });
  });
  return canvas;
}

function between(ramp, share) {
  const place = Math.min(share, 1) * (ramp.length - 1);
  const index = Math.min(Math.floor(place), ramp.length - 2);
  const parts = (color) => [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16));
  const [low, high] = [parts(ramp[index]), parts(ramp[index + 1])];
  return `rgb(${low.map((part, i) => Math.round(part + (high[i] - part) * (place - index))).join(' ')})`;
}

export const VISUALISATIONS = {
  stat: Stat,
  bargauge: BarGauge,
  gauge: BarGauge,
  timeseries: TimeSeries,
  table: Table,
  text: Text,
  'state-timeline': StateTimeline,
  heatmap: Heatmap,
};
