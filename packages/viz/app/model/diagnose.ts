// Why is it slow? The verdict on a timeline: a headline and the few sentences that explain it, from the slices alone.

import type { TimelineDocument } from "../documents/timeline.ts";
import { MERGE } from "../documents/timeline.ts";
import { duration, integer, percent, plural, times } from "../format.ts";
import { busyFraction, type Work } from "./work.ts";

export type Severity = "good" | "fair" | "bad";

export interface Finding {
  readonly text: string;
  /** What a click on the finding shows. */
  readonly request?: number;
  readonly span?: readonly [number, number];
}

export interface Verdict {
  readonly severity: Severity;
  readonly headline: string;
  readonly findings: readonly Finding[];
}

// Chosen: within 10 % of the bound another plan gains little; above 1.5 the plan, not the hardware, decides.
const GOOD = 1.1;
const BAD = 1.5;

export function diagnose(document: TimelineDocument, work: Work): Verdict {
  const { durationUs, lowerBoundUs, slices } = document;
  if (slices.count === 0) {
    return {
      severity: "good",
      headline: "Nothing ran: the timeline has no slices.",
      findings: [{ text: "The batch was empty, or the launch had no work to do." }],
    };
  }
  const ratio = lowerBoundUs > 0 ? durationUs / lowerBoundUs : 1;
  const idle = 1 - busyFraction(document, work);
  const severity: Severity = ratio <= GOOD ? "good" : ratio <= BAD ? "fair" : "bad";
  const above = `${times(ratio)} the lower bound`;
  const headline =
    severity === "good"
      ? `Near the bound: ${above}, ${percent(1 - idle)} of worker time is work.`
      : `${above}: ${duration(durationUs - lowerBoundUs)} could be saved; ${percent(idle)} of worker time is idle.`;
  const findings = [tailFinding(document, work), lastFinding(document, work), emptyFinding(document, work)];
  findings.push(launchFinding(document, work), mergeFinding(document, work));
  return {
    severity,
    headline,
    findings: findings.filter((finding) => finding !== null).slice(0, severity === "good" ? 2 : 4),
  };
}

/** Who still has pieces when most workers are out of them. Merges do not count: workers wait for them, idle. */
function tailFinding(document: TimelineDocument, work: Work): Finding | null {
  const { lanes, durationUs, lowerBoundUs } = document;
  const finishes = Array.from(work.lanes.pieceEndUs).sort((a, b) => a - b);
  const halfDone = finishes[Math.floor((finishes.length - 1) / 2)]!;
  const allDone = finishes.at(-1)!;
  // Chosen: a tail below 10 % of the launch is not worth a sentence.
  if (allDone - halfDone < 0.1 * durationUs || durationUs <= lowerBoundUs * GOOD) return null;
  const at = (halfDone + allDone) / 2;
  const busy = finishes.filter((finish) => finish > at).length;
  const share = percent(halfDone / durationUs);
  return {
    text: `Half of the ${integer(lanes.count)} workers are done after ${share} of the time (${duration(halfDone)}); ${plural(busy, "worker")} ${busy === 1 ? "carries" : "carry"} the rest.`,
    span: [halfDone, durationUs],
  };
}

/** The request that finishes last, and how finely it was cut. */
function lastFinding(document: TimelineDocument, work: Work): Finding | null {
  const last = work.requests.reduce((a, b) => (b.finishUs > a.finishUs ? b : a));
  const { durationUs, lowerBoundUs } = document;
  const name = last.request < 0 ? `Prefix group ${-1 - last.request}` : `Request ${last.request}`;
  const share = percent(work.busyUs > 0 ? last.busyUs / work.busyUs : 0);
  const size = `${integer(last.kvLen)} KV tokens, ${share} of all work`;
  if (lowerBoundUs > 0 && last.longestUs > lowerBoundUs * GOOD) {
    const where = `on ${plural(last.lanes, "worker")} in ${plural(last.pieces, "piece")}`;
    return {
      text: `${name} (${size}) runs ${where}; one piece alone takes ${duration(last.longestUs)}, ${times(last.longestUs / lowerBoundUs)} the bound of the whole launch. Cutting its KV range would spread it.`,
      request: last.request,
    };
  }
  if (durationUs <= lowerBoundUs * GOOD) {
    const heaviest = work.requests[0]!;
    const heavyName = heaviest.request < 0 ? `Prefix group ${-1 - heaviest.request}` : `Request ${heaviest.request}`;
    return {
      text: `${heavyName}, the heaviest (${integer(heaviest.kvLen)} KV tokens, ${percent(heaviest.busyUs / work.busyUs)} of all work), is spread over ${plural(heaviest.lanes, "worker")} in ${plural(heaviest.pieces, "piece")}.`,
      request: heaviest.request,
    };
  }
  return { text: `${name} (${size}) finishes last.`, request: last.request };
}

function emptyFinding(document: TimelineDocument, work: Work): Finding | null {
  const empty = work.lanes.slices.reduce((count, slices) => count + (slices === 0 ? 1 : 0), 0);
  // Chosen: a few workers without work cost less than a sentence about them.
  if (empty < 0.03 * document.lanes.count) return null;
  return {
    text: `${plural(empty, "worker")} of ${integer(document.lanes.count)} never got a piece: the launch has fewer pieces (${integer(document.stats.pieces)}) than it could use, or they sit on other workers.`,
  };
}

function launchFinding({ durationUs }: TimelineDocument, { firstUs }: Work): Finding | null {
  if (firstUs < 0.1 * durationUs) return null;
  return {
    text: `Nothing runs for the first ${duration(firstUs)}, ${percent(firstUs / durationUs)} of the launch: it is short against its start-up.`,
    span: [0, firstUs],
  };
}

/** Time after the last piece in which only merges run. */
function mergeFinding({ durationUs }: TimelineDocument, { kinds }: Work): Finding | null {
  const lastMerge = kinds[MERGE]!.lastUs;
  const lastPiece = kinds.reduce((last, kind, k) => (k === MERGE ? last : Math.max(last, kind.lastUs)), 0);
  const alone = lastMerge - lastPiece;
  if (alone < 0.05 * durationUs) return null;
  return {
    text: `Merges alone take the last ${duration(alone)}, ${percent(alone / durationUs)} of the launch.`,
    span: [lastPiece, lastMerge],
  };
}
