// Colours of both themes. Marks are told apart by lightness as well as hue (Okabe and Ito's set, which survives colour
// blindness), and never by colour alone: legend, labels on bars, hover and the table name everything.

export type Theme = "light" | "dark";

export interface Palette {
  readonly background: string;
  readonly track: string;
  /** Idle time after the lower bound. */
  readonly waste: string;
  readonly text: string;
  readonly muted: string;
  readonly line: string;
  readonly accent: string;
  readonly bound: string;
  readonly curve: string;
  readonly curveFill: string;
  readonly bandwidth: string;
  /** The heaviest requests, in order of load. */
  readonly requests: readonly string[];
  /** All other requests, by parity, so that neighbours differ. */
  readonly others: readonly [string, string];
  /** As KINDS. */
  readonly kinds: readonly [string, string, string, string];
  /** From the start of a request's KV range to its end. */
  readonly ramp: readonly string[];
  readonly selection: string;
}

export const PALETTES: Readonly<Record<Theme, Palette>> = {
  light: {
    background: "#ffffff",
    track: "#f1f4f7",
    waste: "#fbeee6",
    text: "#18202a",
    muted: "#566273",
    line: "#d8dee6",
    accent: "#0a5fb4",
    bound: "#b3400a",
    curve: "#2b3a4d",
    curveFill: "#dbe3ec",
    bandwidth: "#0b7a5f",
    requests: ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"],
    others: ["#9fb0c3", "#b9c6d4"],
    kinds: ["#e69f00", "#5aa9dd", "#b0699a", "#1f3d5c"],
    ramp: ["#fde9a9", "#f3c85f", "#d99a3c", "#a97a5c", "#6f6a80", "#3d5486", "#173a6b"],
    selection: "#18202a",
  },
  dark: {
    background: "#11161d",
    track: "#1a212b",
    waste: "#33231d",
    text: "#e7ecf2",
    muted: "#9fadbd",
    line: "#303b48",
    accent: "#6db3f8",
    bound: "#ff9f68",
    curve: "#cfd9e4",
    curveFill: "#2b3949",
    bandwidth: "#4fd0ac",
    requests: ["#ff8a3d", "#4aa3ea", "#22c394", "#e59cc4", "#f2b83b", "#8fd3fb"],
    others: ["#566b82", "#6a7f96"],
    kinds: ["#f2b83b", "#4c93c9", "#d28bbb", "#e7ecf2"],
    ramp: ["#fff0b8", "#f6cf6b", "#dfa249", "#b6846a", "#8179a0", "#5570b8", "#3b63b5"],
    selection: "#ffffff",
  },
};

/** "#rrggbb" as a pixel of ImageData read as little-endian uint32 (0xAABBGGRR). */
export function pixel(color: string): number {
  const red = Number.parseInt(color.slice(1, 3), 16);
  const green = Number.parseInt(color.slice(3, 5), 16);
  const blue = Number.parseInt(color.slice(5, 7), 16);
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/** `share` of the way from pixel a to pixel b. */
export function blend(a: number, b: number, share: number): number {
  const mix = (shift: number): number => {
    const from = (a >>> shift) & 255;
    return Math.round(from + (((b >>> shift) & 255) - from) * share) << shift;
  };
  return ((255 << 24) | mix(16) | mix(8) | mix(0)) >>> 0;
}

/** A colour half-way to the text's: darker in the light theme, lighter in the dark one. */
export function shade(color: string, text: string): string {
  return hexColor(blend(pixel(color), pixel(text), 0.5));
}

/** The colour of a pixel, as "#rrggbb". */
export function hexColor(pixel: number): string {
  const hex = (shift: number): string => ((pixel >>> shift) & 255).toString(16).padStart(2, "0");
  return `#${hex(0)}${hex(8)}${hex(16)}`;
}

/** Black or white, whichever stands out more on a colour (WCAG relative luminance). */
export function inkOn(color: string): string {
  const linear = (at: number): number => {
    const value = Number.parseInt(color.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  const luminance = 0.2126 * linear(1) + 0.7152 * linear(3) + 0.0722 * linear(5);
  return luminance > 0.179 ? "#0b0f14" : "#ffffff";
}
