// What Grafana's core registers, and its component packages expect: settings of fields, and transformations.
import {
  applyFieldOverrides,
  cacheFieldDisplayNames,
  identityOverrideProcessor,
  Registry,
  standardFieldConfigEditorRegistry,
  standardTransformers,
  standardTransformersRegistry,
  transformDataFrame,
} from '@grafana/data';
import { firstValueFrom } from 'rxjs';

const STANDARD = ['unit', 'min', 'max', 'decimals', 'displayName', 'color', 'noValue', 'links', 'mappings', 'thresholds', 'filterable'];
const OWN = [
  'cellOptions', 'width', 'minWidth', 'align', 'hidden', 'inspect', 'filterable', 'drawStyle', 'lineWidth', 'fillOpacity',
  'lineStyle', 'lineInterpolation', 'showPoints', 'pointSize', 'spanNulls', 'stacking', 'thresholdsStyle', 'axisPlacement',
  'axisLabel', 'hideFrom', 'scaleDistribution', 'gradientMode', 'transform', 'axisSoftMin', 'axisSoftMax', 'barAlignment',
];

const setting = (id, isCustom) => ({
  id: isCustom ? `custom.${id}` : id,
  path: id,
  name: id,
  isCustom,
  process: identityOverrideProcessor,
  shouldApply: () => true,
});

const settings = new Registry(() => [...STANDARD.map((id) => setting(id, false)), ...OWN.map((id) => setting(id, true))]);
standardFieldConfigEditorRegistry.setInit(() => STANDARD.map((id) => setting(id, false)));

const transformers = new Map(Object.values(standardTransformers).map((each) => [each.id, each]));
standardTransformersRegistry.setInit(() =>
  [...transformers.values()].map((each) => ({ id: each.id, name: each.name, transformation: () => Promise.resolve(each), editor: () => null }))
);

/** Transform frames and give each field its look. */
export async function prepared(panel, frames, theme) {
  for (const { id } of panel.transformations ?? []) {
    if (!transformers.has(id)) {
      throw new Error(`no transformation ${id}`);
    }
  }
  const transformed = await firstValueFrom(transformDataFrame(panel.transformations ?? [], frames, { interpolate: (text) => text }));
  const looked = applyFieldOverrides({
    data: transformed,
    fieldConfig: { defaults: panel.fieldConfig?.defaults ?? {}, overrides: panel.fieldConfig?.overrides ?? [] },
    fieldConfigRegistry: settings,
    replaceVariables: (text) => text,
    theme,
    timeZone: 'utc',
  });
  cacheFieldDisplayNames(looked);
  return looked;
}
