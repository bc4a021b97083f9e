// Pointer and wheel on a plot: zoom at the cursor, drag to pan, shift-drag (or drag on the tracks) to select a range, two
// fingers to pinch. Reports new spans; keeps only what the fingers do.

export type Span = readonly [number, number];

export interface Gestures {
  time(): Span;
  rows(): Span;
  /** Time that can be shown. */
  limits(): Span;
  rowCount(): number;
  plotHeight(): number;
  onTime(time: Span): void;
  onRows(rows: Span): void;
  onRange(range: Span | null): void;
  /** The drag that selected a range has ended. */
  onRangeEnd?(): void;
  onMove(x: number, y: number): void;
  onLeave(): void;
  onClick(x: number, y: number): void;
  onDoubleClick(x: number, y: number): void;
}

// Chosen: a wheel notch of 120 zooms by a quarter, as map viewers do.
const ZOOM_PER_DELTA = Math.log(1.25) / 120;
const CLICK_PX = 4;

/** A span zoomed by `factor` around `at`, kept inside the limits and above a shortest span. */
export function zoomSpan(span: Span, at: number, factor: number, limits: Span): Span {
  const all = limits[1] - limits[0];
  const length = Math.min(Math.max((span[1] - span[0]) * factor, all * 1e-7, 1e-3), all);
  const share = (at - span[0]) / (span[1] - span[0]);
  return clampSpan([at - share * length, at + (1 - share) * length], limits);
}

/** A span moved inside the limits, its length kept. */
export function clampSpan(span: Span, limits: Span): Span {
  const length = Math.min(span[1] - span[0], limits[1] - limits[0]);
  const from = Math.min(Math.max(span[0], limits[0]), limits[1] - length);
  return [from, from + length];
}

export function zoomRows(rows: Span, factor: number, atShare: number, count: number): Span {
  const zoom = Math.min(Math.max(rows[0] * factor, 1), Math.max(count / 2, 1));
  const at = rows[1] + (atShare * count) / rows[0];
  return clampRows([zoom, at - (atShare * count) / zoom], count);
}

export function clampRows(rows: Span, count: number): Span {
  return [rows[0], Math.max(0, Math.min(rows[1], count - count / rows[0]))];
}

export function listen(target: HTMLElement, gestures: Gestures, drag: "pan" | "range"): void {
  const pointers = new Map<number, { x: number; y: number }>();
  let start: { x: number; y: number; time: Span; rows: Span; range: boolean } | null = null;
  let moved = false;
  let pinch: { distance: number; time: Span; at: number } | null = null;

  const timeAt = (x: number, span: Span = gestures.time()): number =>
    span[0] + (x / Math.max(target.clientWidth, 1)) * (span[1] - span[0]);

  target.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const scale = event.deltaMode === 1 ? 40 : event.deltaMode === 2 ? 400 : 1;
      const dy = event.deltaY * scale;
      const dx = event.deltaX * scale;
      const span = gestures.time();
      if (event.altKey) {
        const share = event.offsetY / Math.max(gestures.plotHeight(), 1);
        gestures.onRows(zoomRows(gestures.rows(), Math.exp(-dy * ZOOM_PER_DELTA), share, gestures.rowCount()));
      } else if (event.shiftKey) {
        const rows = gestures.rows();
        const perRow = (gestures.plotHeight() * rows[0]) / gestures.rowCount();
        gestures.onRows(clampRows([rows[0], rows[1] + (dy || dx) / perRow], gestures.rowCount()));
      } else if (Math.abs(dx) > Math.abs(dy)) {
        const shift = (dx / Math.max(target.clientWidth, 1)) * (span[1] - span[0]);
        gestures.onTime(clampSpan([span[0] + shift, span[1] + shift], gestures.limits()));
      } else {
        // Browsers report a pinch on a touch pad as a wheel with ctrl, in small deltas.
        const factor = Math.exp(dy * ZOOM_PER_DELTA * (event.ctrlKey ? 6 : 1));
        gestures.onTime(zoomSpan(span, timeAt(event.offsetX), factor, gestures.limits()));
      }
    },
    { passive: false },
  );

  target.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    target.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    moved = false;
    if (pointers.size === 2) {
      const { distance, middle } = fingersOf(pointers);
      pinch = { distance, time: gestures.time(), at: middle };
      start = null;
      return;
    }
    start = {
      x: event.offsetX,
      y: event.offsetY,
      time: gestures.time(),
      rows: gestures.rows(),
      range: drag === "range" || event.shiftKey,
    };
  });

  target.addEventListener("pointermove", (event) => {
    if (pointers.has(event.pointerId)) pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    if (pinch !== null && pointers.size === 2) {
      // What lay between the fingers stays between them, wherever they go.
      const { distance, middle } = fingersOf(pointers);
      const at = timeAt(pinch.at, pinch.time);
      const zoomed = zoomSpan(pinch.time, at, pinch.distance / distance, gestures.limits());
      const shift = ((middle - pinch.at) / Math.max(target.clientWidth, 1)) * (zoomed[1] - zoomed[0]);
      gestures.onTime(clampSpan([zoomed[0] - shift, zoomed[1] - shift], gestures.limits()));
      moved = true;
      return;
    }
    if (start === null) {
      gestures.onMove(event.offsetX, event.offsetY);
      return;
    }
    const dx = event.offsetX - start.x;
    const dy = event.offsetY - start.y;
    if (!moved && Math.hypot(dx, dy) < CLICK_PX) return;
    moved = true;
    if (start.range) {
      const a = timeAt(start.x, start.time);
      const b = timeAt(event.offsetX, start.time);
      const [low, high] = gestures.limits();
      gestures.onRange([Math.max(Math.min(a, b), low), Math.min(Math.max(a, b), high)]);
      return;
    }
    target.classList.add("dragging");
    const shift = (dx / Math.max(target.clientWidth, 1)) * (start.time[1] - start.time[0]);
    gestures.onTime(clampSpan([start.time[0] - shift, start.time[1] - shift], gestures.limits()));
    if (start.rows[0] > 1) {
      const perRow = (gestures.plotHeight() * start.rows[0]) / gestures.rowCount();
      gestures.onRows(clampRows([start.rows[0], start.rows[1] - dy / perRow], gestures.rowCount()));
    }
  });

  const end = (event: PointerEvent): void => {
    pointers.delete(event.pointerId);
    target.classList.remove("dragging");
    if (pointers.size < 2) pinch = null;
    if (start !== null && !moved && event.type === "pointerup") gestures.onClick(event.offsetX, event.offsetY);
    if (start?.range === true && moved) gestures.onRangeEnd?.();
    start = null;
  };
  target.addEventListener("pointerup", end);
  target.addEventListener("pointercancel", end);
  target.addEventListener("pointerleave", () => {
    if (start === null) gestures.onLeave();
  });
  target.addEventListener("dblclick", (event) => gestures.onDoubleClick(event.offsetX, event.offsetY));
}

/** How far two fingers are from each other, in whichever direction, and where the middle between them is. */
function fingersOf(pointers: ReadonlyMap<number, { x: number; y: number }>): { distance: number; middle: number } {
  const [a, b] = [...pointers.values()];
  return { distance: Math.max(Math.hypot(a!.x - b!.x, a!.y - b!.y), 10), middle: (a!.x + b!.x) / 2 };
}
