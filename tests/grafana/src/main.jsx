// One page that shows one dashboard. What to show is in the address; see tests/grafana/render.py.
import { createTheme, dateTime, ThemeContext } from '@grafana/data';
import { GlobalStyles, PanelChrome } from '@grafana/ui';
import { useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import 'uplot/dist/uPlot.min.css';

import { prepared } from './fields.js';
import { annotationsOf, framesOf, shownOf, valuesOf } from './prometheus.js';
import { VISUALISATIONS } from './visualisations.jsx';

const CELL = 30;
const GAP = 8;
const MARGIN = 16;
const FOOTER = "rendered with Grafana's UI components";

const asked = new URLSearchParams(location.search);
const from = Number(asked.get('from')) * 1000;
const to = Number(asked.get('to')) * 1000;
const theme = createTheme({ colors: { mode: asked.get('theme') ?? 'dark' } });

// The end of what is shown is now: ages are told from it, and pictures do not change from day to day.
Date.now = () => to;

// What became of each panel, for the script that takes the picture: every one is in it once it is drawn.
window.__panels = [];
window.__errors = [];
window.__failed = false;
window.addEventListener('error', (event) => window.__errors.push(String(event.message)));
window.addEventListener('unhandledrejection', (event) => window.__errors.push(String(event.reason)));

function Panel({ panel, width, height, ask, marks }) {
  const [state, setState] = useState(null);
  useEffect(() => {
    const work = panel.type === 'text' ? Promise.resolve([]) : framesOf(panel, { ...ask, width }).then((frames) => prepared(panel, frames, theme));
    work
      .then((frames) => ({ frames }), (error) => ({ frames: [], error: error.message }))
      .then((done) => {
        setState(done);
        const series = done.frames.reduce((sum, frame) => sum + (frame.length ? 1 : 0), 0);
        window.__panels.push({ id: panel.id, title: panel.title, type: panel.type, series, error: done.error ?? null });
        if (done.error) {
          window.__errors.push(`${panel.title}: ${done.error}`);
        }
      });
  }, []);
  const Visualisation = VISUALISATIONS[panel.type];
  const draw = (innerWidth, innerHeight) => {
    if (state === null) {
      return null;
    }
    if (state.error) {
      return <Words color={theme.colors.error.text}>{state.error}</Words>;
    }
    if (!Visualisation) {
      return <Words color={theme.colors.error.text}>no visualisation {panel.type}</Words>;
    }
    const isEmpty = panel.type !== 'text' && !state.frames.some((frame) => frame.length);
    if (isEmpty && panel.type !== 'stat') {
      return <Words>{panel.fieldConfig?.defaults?.noValue ?? 'No data'}</Words>;
    }
    const range = { from: dateTime(from), to: dateTime(to), raw: { from: dateTime(from), to: dateTime(to) } };
    return <Visualisation {...{ panel, frames: state.frames, width: innerWidth, height: innerHeight, range, theme, marks }} />;
  };
  return (
    <PanelChrome
      title={panel.title}
      description={panel.description}
      width={width}
      height={height}
      padding={panel.type === 'table' ? 'none' : 'md'}
      statusMessage={state?.error}
    >
      {draw}
    </PanelChrome>
  );
}

function Words({ children, color }) {
  const look = { height: '100%', display: 'flex', alignItems: 'center', justifyContent: 'center', textAlign: 'center' };
  return <div style={{ ...look, color: color ?? theme.colors.text.secondary }}>{children}</div>;
}

function Dashboard({ dashboard, ask, marks }) {
  const width = Number(asked.get('width') ?? 1600);
  const column = (width - 2 * MARGIN + GAP) / 24;
  const bottom = Math.max(...dashboard.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
  return (
    <div style={{ width, overflow: 'hidden', background: theme.colors.background.canvas, color: theme.colors.text.primary }}>
      <Top dashboard={dashboard} />
      <div style={{ position: 'relative', height: bottom * (CELL + GAP) }}>
        {dashboard.panels.map((panel) => {
          const { x, y, w, h } = panel.gridPos;
          const size = { width: w * column - GAP, height: h * (CELL + GAP) - GAP };
          return (
            <div key={panel.id} style={{ position: 'absolute', left: MARGIN + x * column, top: y * (CELL + GAP), ...size }}>
              {panel.type === 'row' ? <Row panel={panel} /> : <Panel {...{ panel, ask, marks, ...size }} />}
            </div>
          );
        })}
      </div>
      <div style={{ padding: `8px ${MARGIN}px 12px`, color: theme.colors.text.secondary, fontSize: 12 }}>
        {dashboard.uid}, {FOOTER}
      </div>
    </div>
  );
}

function Row({ panel }) {
  return <div style={{ fontWeight: 500, fontSize: 16, lineHeight: `${CELL}px` }}>⌄ {panel.title}</div>;
}

function Top({ dashboard }) {
  const box = { border: `1px solid ${theme.colors.border.medium}`, borderRadius: 2, padding: '3px 8px', marginLeft: 4 };
  const shown = (dashboard.templating?.list ?? []).filter((each) => !each.hide && each.type === 'query');
  const day = (moment) => dateTime(moment).utc().format('YYYY-MM-DD HH:mm');
  return (
    <div style={{ padding: MARGIN, display: 'flex', flexWrap: 'wrap', gap: 12, alignItems: 'center' }}>
      <span style={{ fontSize: 18, fontWeight: 500, marginRight: 12 }}>{dashboard.title}</span>
      {shown.map((variable) => (
        <span key={variable.name} style={{ fontSize: 12 }}>
          {variable.label ?? variable.name}
          <span style={box}>{shownOf(variable)}</span>
        </span>
      ))}
      <span style={{ marginLeft: 'auto', fontSize: 12 }}>
        <span style={box}>{day(from)} to {day(to)} UTC</span>
      </span>
    </div>
  );
}

async function main() {
  const dashboard = await (await fetch(asked.get('dashboard'))).json();
  const ask = {
    base: asked.get('prometheus'),
    values: valuesOf(dashboard),
    range: { from, to },
    scrape: Number(asked.get('scrape')),
  };
  window.__expected = dashboard.panels.filter((panel) => panel.type !== 'row').length;
  const marks = await annotationsOf(dashboard, ask).catch((error) => {
    window.__errors.push(`annotations: ${error.message}`);
    return [];
  });
  createRoot(document.getElementById('root')).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <Dashboard {...{ dashboard, ask, marks }} />
    </ThemeContext.Provider>
  );
}

main().catch((error) => {
  window.__errors.push(String(error));
  window.__failed = true;
});
