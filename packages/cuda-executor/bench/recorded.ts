// FlashInfer's recorded times of the same cases (data/flashinfer.csv; see data/NOTICE.md).

import { readFileSync } from "node:fs";

export interface RecordedTimes {
  /** Microseconds by kernel name. */
  readonly us: ReadonlyMap<string, number>;
}

/** Kernels that run a whole decode: what "best of six" chooses from. */
const DECODE_KERNELS = ["fi_cuda", "fi_tc", "fi_holistic", "fi_xqa", "fi_cuda_cg", "fi_tc_cg", "fi_fa3"];

/** Sections of the file that were taken as data/NOTICE.md says; others time single launches or repeat cases. */
const SECTIONS = ["decode", "mixed", "prefill", "prefix"];

/** The device of the recorded times. */
const RECORDED_DEVICE = "NVIDIA H100 80GB HBM3";

/** Recorded times by "case|heads|pageSize"; none where `device` is not the one that they were recorded on. */
export function readRecorded(path: string | URL, device: string): ReadonlyMap<string, ReadonlyMap<string, number>> {
  if (device !== RECORDED_DEVICE) return new Map();
  const [head, ...lines] = readFileSync(path, "utf8").trim().split("\n");
  const columns = head!.split(",");
  const column = (name: string): number => columns.indexOf(name);
  const at = {
    section: column("sec"),
    case: column("case"),
    kernel: column("kernel"),
    heads: column("heads"),
    ps: column("ps"),
    us: column("us"),
  };
  const bySetting = new Map<string, Map<string, number>>();
  for (const line of lines) {
    const cells = line.split(",");
    if (!SECTIONS.includes(cells[at.section]!)) continue;
    const key = `${cells[at.case]}|${cells[at.heads]}|${cells[at.ps]}`;
    const times = bySetting.get(key) ?? new Map<string, number>();
    times.set(cells[at.kernel]!, Number(cells[at.us]));
    bySetting.set(key, times);
  }
  return bySetting;
}

/** The fastest recorded decode kernel of a setting, or undefined. */
export function bestDecode(times: ReadonlyMap<string, number> | undefined): number | undefined {
  const candidates = DECODE_KERNELS.flatMap((kernel) => times?.get(kernel) ?? []);
  return candidates.length > 0 ? Math.min(...candidates) : undefined;
}
