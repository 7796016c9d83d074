import type { Config } from 'vega-lite'

/** Colours of series, in order: distinguishable on white, in print and with the common colour-vision deficiencies. */
export const palette: readonly string[] = [
  '#2f6fc4', // blue
  '#e4702a', // orange
  '#1f9d74', // green
  '#c2408b', // magenta
  '#7a56c2', // violet
  '#b5891b', // ochre
  '#1b9bb8', // teal
  '#8a5a44', // brown
]

/** The colour of the i-th series; the palette repeats after its end. */
export const seriesColor = (i: number): string => palette[i % palette.length]!

export const ink = {
  strong: '#1f2430',
  normal: '#4a5160',
  faint: '#9aa1ad',
  grid: '#e8eaee',
  axis: '#c3c8d0',
}

// Named families first, since the generic one maps to a serif in some containers.
const font = '"Helvetica Neue", Helvetica, Arial, "DejaVu Sans", "Liberation Sans", sans-serif'

/** @internal Vega-lite configuration that all figures share. */
export const theme: Config = {
  background: 'white',
  padding: 16,
  font,
  view: { stroke: null },
  title: {
    anchor: 'start',
    frame: 'group',
    font,
    fontSize: 16,
    fontWeight: 600,
    color: ink.strong,
    offset: 14,
    subtitleFont: font,
    subtitleFontSize: 12,
    subtitleColor: ink.normal,
    subtitlePadding: 5,
  },
  axis: {
    labelFont: font,
    labelFontSize: 12,
    labelColor: ink.normal,
    labelLimit: 0,
    titleFont: font,
    titleFontSize: 13,
    titleFontWeight: 'normal',
    titleColor: ink.strong,
    titlePadding: 10,
    titleLimit: 0,
    gridColor: ink.grid,
    domainColor: ink.axis,
    tickColor: ink.axis,
    tickSize: 5,
    labelPadding: 5,
  },
  legend: {
    labelFont: font,
    labelFontSize: 12,
    labelColor: ink.strong,
    labelLimit: 0,
    titleFont: font,
    titleFontSize: 12,
    titleColor: ink.strong,
    titleLimit: 0,
    symbolSize: 90,
    symbolStrokeWidth: 2.5,
    columnPadding: 18,
    rowPadding: 6,
  },
}
