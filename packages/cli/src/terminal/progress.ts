// One line of progress that rewrites itself, on a terminal only; elsewhere it is silent.

import type { Output } from "../context.ts";

export interface Progress {
  /** `share` from 0 to 1, or undefined where the end is not known; `text` is asked for where it is shown. */
  update(share: number | undefined, text: () => string): void;
  /** Clears the line. */
  end(): void;
}

/** Chosen: because ten pictures a second look smooth and cost nothing. */
const INTERVAL_MS = 100;
const BAR_CELLS = 24;

export function startProgress(output: Output): Progress {
  if (output.isTTY !== true) return { update: () => {}, end: () => {} };
  let lastAtMs = Number.NEGATIVE_INFINITY;
  let isShown = false;
  let pending: ReturnType<typeof setTimeout> | undefined;
  const show = (share: number | undefined, text: () => string): void => {
    lastAtMs = performance.now();
    isShown = true;
    const head = share === undefined ? "" : `${bar(share)} ${String(Math.floor(share * 100)).padStart(3)} %  `;
    const line = head + text();
    output.write(`\r\u001b[K${line.slice(0, Math.max(20, (output.columns || 80) - 1))}`);
  };
  return {
    update(share, text) {
      clearTimeout(pending);
      const waitMs = lastAtMs + INTERVAL_MS - performance.now();
      if (waitMs <= 0) show(share, text);
      // What comes too soon is shown a little later, unless something newer comes: the last word always stands there.
      else pending = setTimeout(show, waitMs, share, text).unref();
    },
    end() {
      clearTimeout(pending);
      if (isShown) output.write("\r\u001b[K");
      isShown = false;
    },
  };
}

function bar(share: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, share)) * BAR_CELLS);
  return "━".repeat(filled) + "╌".repeat(BAR_CELLS - filled);
}
