// `--columns arrivalMs=ts,inputTokens=prompt,outputTokens=completion`: where a log of one's own has what a replay needs.

import { ARRIVAL_COLUMNS, type ArrivalColumn, type TraceColumns } from "@isochron/simulator";
import { Option } from "commander";
import { InputError, unknownName } from "./errors.ts";

const FLAG = "--columns";
const EXAMPLE = "arrivalMs=at,inputTokens=in,outputTokens=out";
const NAMES = [...ARRIVAL_COLUMNS, "inputTokens", "outputTokens"] as const;

/** As far as they are given: in a sweep, each is a field of its own. */
export type GivenColumns = Readonly<Partial<Record<ArrivalColumn | "inputTokens" | "outputTokens", string>>>;

export function columnsOption(): Option {
  return new Option(
    `${FLAG} <names>`,
    `columns of a CSV, or keys of JSON lines, of your own: ${EXAMPLE}; a.b is the key b inside a; arrival is a date and time, arrivalS, arrivalMs, arrivalUs, arrivalNs a number`,
  ).argParser(parse);
}

function parse(text: string): GivenColumns {
  const columns: Partial<Record<string, string>> = {};
  for (const part of text.split(",")) {
    const equals = part.indexOf("=");
    const [name, column] = [part.slice(0, Math.max(equals, 0)).trim(), part.slice(equals + 1).trim()];
    if (name === "" || column === "") throw new InputError(`${FLAG}: found "${part}", expected names as in ${EXAMPLE}`);
    if (!NAMES.some((known) => known === name)) throw unknownName(`${FLAG}: unknown`, name, NAMES);
    if (columns[name] !== undefined) throw new InputError(`${FLAG}: found ${name} twice, expected each once`);
    columns[name] = column;
  }
  return columns;
}

/** Undefined where none were given. Throws InputError for some that do not say all. */
export function wholeColumns(columns: GivenColumns | undefined, format: string | undefined): TraceColumns | undefined {
  if (columns === undefined) return undefined;
  if (format !== undefined) throw new InputError(`--format: found ${FLAG} too, expected one of the two`);
  const { inputTokens, outputTokens } = columns;
  const arrivals = ARRIVAL_COLUMNS.filter((name) => columns[name] !== undefined);
  if (arrivals.length !== 1) {
    const found = arrivals.length === 0 ? "no arrival" : arrivals.join(" and ");
    throw new InputError(`${FLAG}: found ${found}, expected one of ${ARRIVAL_COLUMNS.join(", ")}`);
  }
  if (inputTokens === undefined || outputTokens === undefined) {
    throw new InputError(
      `${FLAG}: found no ${inputTokens === undefined ? "inputTokens" : "outputTokens"}, expected ${EXAMPLE}`,
    );
  }
  return { ...columns, inputTokens, outputTokens };
}
