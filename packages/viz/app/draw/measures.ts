// Sizes that the style sheet and the canvases share, in CSS pixels.

export const LABEL_WIDTH = 92;
export const BUSY_WIDTH = 96;
/** Tick labels, and the band below them in which the lower bound is named. */
export const AXIS_HEIGHT = 42;
/** Least height of a track; rows of whole pixels leave more. */
export const TRACK_HEIGHT = 54;
export const FONT = '"Inter", "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif';

/** Texts grow with very wide screens, as --ui does in the style sheet. */
export function uiScale(): number {
  return matchMedia("(min-width: 3200px)").matches ? 1.5 : matchMedia("(min-width: 2400px)").matches ? 1.25 : 1;
}

/** The font of canvases, for a size in CSS pixels. */
export function canvasFont(sizePx: number, ratio: number): string {
  return `${sizePx * ratio * uiScale()}px ${FONT}`;
}
