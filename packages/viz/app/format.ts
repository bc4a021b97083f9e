// Numbers as people read them: fixed digits, thousands grouped, units written out.

import { ticks as linearTicks } from "d3-array";
import { format } from "d3-format";

const grouped = format(",");
const oneDigit = format(",.1f");
const twoDigits = format(",.2f");
const threeDigits = format(",.3f");

export const integer = (value: number): string => grouped(Math.round(value));

/** A duration in the unit that leaves one to four digits before the point. */
export function duration(us: number): string {
  const size = Math.abs(us);
  if (size >= 59.995e6) return longDuration(us);
  if (size >= 1e6) return `${twoDigits(us / 1e6)} s`;
  if (size >= 1e4) return `${twoDigits(us / 1e3)} ms`;
  if (size >= 100) return `${oneDigit(us)} µs`;
  if (size === 0) return "0 µs";
  if (size >= 1) return `${twoDigits(us)} µs`;
  return `${integer(us * 1e3)} ns`;
}

/** Rounded before it is divided, so that no part is 60. */
function longDuration(us: number): string {
  const tenths = Math.round(us / 1e5);
  const minutes = Math.floor(tenths / 600);
  if (minutes < 60) return `${minutes} min ${format("04.1f")((tenths % 600) / 10)} s`;
  return `${integer(Math.floor(minutes / 60))} h ${format("02d")(minutes % 60)} min ${format("02d")(Math.floor((tenths % 600) / 10))} s`;
}

/** A time to the nanosecond, for details and tables. */
export const microseconds = (us: number): string => `${threeDigits(us)} µs`;

export const milliseconds = (ms: number | null): string =>
  ms === null ? "–" : ms >= 1e3 ? `${twoDigits(ms / 1e3)} s` : ms >= 100 ? `${oneDigit(ms)} ms` : `${twoDigits(ms)} ms`;

/** A round number of milliseconds, for axes and limits. */
export const roundMs = (ms: number): string => (ms >= 1e3 ? `${format(",~r")(ms / 1e3)} s` : `${format(",~r")(ms)} ms`);

export function percent(share: number): string {
  const value = share * 100;
  return value > 0 && value < 0.1 ? "< 0.1 %" : `${value >= 99.95 || value === 0 ? integer(value) : oneDigit(value)} %`;
}

export const times = (factor: number): string => `${factor >= 100 ? integer(factor) : twoDigits(factor)}×`;

/** Three digits that count, or all before the point: prices, rates. */
export const amount = (value: number): string => (value >= 100 ? integer(value) : format(",.3~r")(value));

export function plural(count: number, noun: string, many = `${noun}s`): string {
  return `${integer(count)} ${count === 1 ? noun : many}`;
}

/** 131072 → "131,072"; large counts shortened in tight places: "131 k". */
export const short = (value: number): string =>
  value >= 1e6 ? `${format(".3~s")(value)}` : value >= 1e4 ? `${integer(value / 1e3)} k` : integer(value);

export function bytes(count: number): string {
  if (count >= 2 ** 30) return `${twoDigits(count / 2 ** 30)} GiB`;
  if (count >= 2 ** 20) return `${twoDigits(count / 2 ** 20)} MiB`;
  if (count >= 2 ** 10) return `${oneDigit(count / 2 ** 10)} KiB`;
  return `${integer(count)} B`;
}

/** Steps of an axis of minutes and hours, in seconds. */
const CLOCK_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400];
/** An axis that ends here or later counts minutes and hours, as long as its ticks are whole seconds. */
const CLOCK_END_US = 20 * 60e6;

export interface TimeAxis {
  readonly ticks: readonly number[];
  readonly text: (us: number) => string;
}

/** Ticks of a time axis in µs, about `count` of them at round times, and their texts: one unit for all. */
export function timeAxis(fromUs: number, toUs: number, count: number): TimeAxis {
  const spanUs = toUs - fromUs;
  if (toUs < CLOCK_END_US || spanUs < count * 1e6) {
    return { ticks: linearTicks(fromUs, toUs, count), text: decimalTime(spanUs) };
  }
  const seconds = CLOCK_STEPS.find((step) => spanUs / (step * 1e6) <= count);
  const stepUs = (seconds ?? Math.ceil(spanUs / 86_400e6 / count) * 86_400) * 1e6;
  const first = Math.ceil(fromUs / stepUs);
  const ticks = Array.from({ length: Math.floor(toUs / stepUs) - first + 1 }, (_, i) => (first + i) * stepUs);
  return { ticks, text: clockTime(toUs >= 3600e6, stepUs < 60e6) };
}

/** 1:02:03 h, 1:02 h, 2:03 min or 2 min. */
function clockTime(hasHours: boolean, hasSeconds: boolean): (us: number) => string {
  const two = format("02d");
  return (us) => {
    const seconds = Math.round(us / 1e6);
    const minutes = Math.floor(seconds / 60);
    const before = hasHours ? `${integer(Math.floor(minutes / 60))}:${two(minutes % 60)}` : integer(minutes);
    return `${before}${hasSeconds ? `:${two(seconds % 60)}` : ""} ${hasHours ? "h" : "min"}`;
  };
}

function decimalTime(spanUs: number): (us: number) => string {
  const [unit, size] =
    spanUs >= 2e6 ? ["s", 1e6] : spanUs >= 2e3 ? ["ms", 1e3] : spanUs >= 2 ? ["µs", 1] : ["ns", 1e-3];
  const digits = Math.max(0, Math.min(6, 2 - Math.floor(Math.log10(spanUs / (size as number)))));
  const number = format(`,.${digits}~f`);
  return (us) => `${number(us / (size as number))} ${unit as string}`;
}
