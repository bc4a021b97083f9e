// Case files: what the benchmark runs. The format is data/cases.json's: sections of cases with lengths.

import { readFileSync } from "node:fs";

/** One batch. `prefixTokens`: KV tokens that all its requests have in common, counted in each kvLen; 0 for none. */
export interface Case {
  readonly id: string;
  readonly qoLens: readonly number[];
  readonly kvLens: readonly number[];
  readonly prefixTokens: number;
}

export const SECTIONS = ["decode", "prefill", "mixed", "shared_prefix"] as const;
export type Section = (typeof SECTIONS)[number];

/** A file that is not as data/NOTICE.md says: where, what was found, what was expected. */
export class CaseFileError extends Error {
  override readonly name = "CaseFileError";

  constructor(file: string, field: string, found: unknown, expected: string) {
    super(`${file}: ${field} is ${JSON.stringify(found)}, expected ${expected}`);
  }
}

/** The cases of a file by section. Throws CaseFileError, and what reading and JSON throw. */
export function readCases(path: string | URL): ReadonlyMap<Section, readonly Case[]> {
  const file = path instanceof URL ? path.pathname : path;
  const document: unknown = JSON.parse(readFileSync(path, "utf8"));
  if (typeof document !== "object" || document === null)
    throw new CaseFileError(file, "the document", document, "an object");
  const sections = new Map<Section, readonly Case[]>();
  for (const section of SECTIONS) {
    const rows = (document as Record<string, unknown>)[section];
    if (rows === undefined) continue;
    if (!Array.isArray(rows)) throw new CaseFileError(file, section, rows, "a list of cases");
    sections.set(
      section,
      rows.map((row: Record<string, unknown>, i) => caseOf(file, `${section}[${i}]`, section, row)),
    );
  }
  if (sections.size === 0) {
    throw new CaseFileError(
      file,
      "the list of its fields",
      Object.keys(document),
      `at least one of ${SECTIONS.join(", ")}`,
    );
  }
  return sections;
}

function caseOf(file: string, at: string, section: Section, row: Record<string, unknown>): Case {
  const { id } = row;
  if (typeof id !== "string") throw new CaseFileError(file, `${at}.id`, id, "a string");
  const lengths = (field: string): number[] => {
    const list = row[field];
    if (!Array.isArray(list) || list.length === 0)
      throw new CaseFileError(file, `${at}.${field}`, list, "a list of lengths");
    const wrong = list.findIndex((length) => !Number.isInteger(length) || length < 0);
    if (wrong >= 0) throw new CaseFileError(file, `${at}.${field}[${wrong}]`, list[wrong], "a whole number of tokens");
    return list as number[];
  };
  if (section === "shared_prefix") {
    const { shared } = row;
    if (typeof shared !== "number" || !Number.isInteger(shared) || shared <= 0) {
      throw new CaseFileError(file, `${at}.shared`, shared, "a positive number of tokens");
    }
    const kvLens = lengths("unique").map((length) => shared + length);
    return { id, qoLens: kvLens.map(() => 1), kvLens, prefixTokens: shared };
  }
  const kvLens = lengths("kv_lens");
  const qoLens = row["qo_lens"] === undefined && section === "decode" ? kvLens.map(() => 1) : lengths("qo_lens");
  if (qoLens.length !== kvLens.length) {
    throw new CaseFileError(file, `${at}.qo_lens.length`, qoLens.length, `${kvLens.length}, as kv_lens`);
  }
  return { id, qoLens, kvLens, prefixTokens: 0 };
}
