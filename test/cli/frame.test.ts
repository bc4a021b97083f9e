import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Column, table } from "../../packages/cli/src/terminal/table.ts";
import { isochron } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

describe("the frame of all commands", () => {
  it("shows an example before anything else in every help", async () => {
    const overview = await isochron(["--help"]);
    expect(overview.exitCode).toBe(0);
    expect(overview.stdout).toMatch(/^ {2}\$ isochron /);
    const names = [...overview.stdout.matchAll(/^ {2}([a-z]+) .* {2,}\S/gm)].map((match) => match[1]!);
    expect(names).toContain("models");
    for (const name of names.filter((one) => one !== "help")) {
      const help = await isochron([name, "--help"]);
      expect(help.exitCode, name).toBe(0);
      expect(help.stdout, name).toMatch(new RegExp(`^ {2}\\$ isochron ${name}`));
      expect(help.stderr, name).toBe("");
    }
  });

  it("says in every help what its arguments are", async () => {
    for (const name of ["replay", "sweep", "plan", "simulate", "run", "view", "models"]) {
      const { stdout } = await isochron([name, "--help"]);
      const [, argument] = /^Usage: isochron \w+ \[options\] [<[](\w+)/m.exec(stdout)!;
      expect(stdout, name).toMatch(new RegExp(`^Arguments:\\n {2}${argument} +\\S`, "m"));
    }
    for (const name of ["inspect", "convert", "make"]) {
      expect((await isochron(["traces", name, "--help"])).stdout, name).toMatch(/^Arguments:\n {2}\w+ +\S/m);
    }
  });

  it("prints its help and exits 2 when no command is named", async () => {
    const { exitCode, stdout, stderr } = await isochron([]);
    expect(exitCode).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toContain("Commands:");
  });

  it("prints its version", async () => {
    const { exitCode, stdout } = await isochron(["--version"]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it("shows a stack trace only with --debug", async () => {
    const plain = await isochron(["plan", "nowhere.json"]);
    expect(plain.stderr).not.toMatch(/^\s+at /m);
    const debug = await isochron(["plan", "nowhere.json", "--debug"]);
    expect(debug.stderr).toMatch(/^\s+at /m);
    expect(debug.exitCode).toBe(2);
  });

  it("colours only where asked, and never with NO_COLOR", async () => {
    const sequence = "\u001b[";
    expect((await isochron(["models"])).stdout).not.toContain(sequence);
    expect((await isochron(["models"], { env: { FORCE_COLOR: "1" } })).stdout).toContain(sequence);
    expect((await isochron(["models"], { env: { FORCE_COLOR: "1", NO_COLOR: "1" } })).stdout).not.toContain(sequence);
    expect((await isochron(["models", "--json"], { env: { FORCE_COLOR: "1" } })).stdout).not.toContain(sequence);
  });
});

describe("output for people", () => {
  const painter = (_: unknown, text: string): string => text;
  const columns: readonly Column<readonly string[]>[] = [
    { title: "name", value: (row) => row[0]! },
    { title: "more", isExtra: true, value: (row) => row[1]! },
    { title: "words", value: (row) => row[2]! },
  ];
  const rows = [["one", "x".repeat(30), "words that go on and on until the line has to break"]];

  it("gives up extra columns and breaks the last one where a terminal is narrow", () => {
    const wide = table(rows, columns, painter);
    expect(wide.split("\n")).toHaveLength(4);
    const narrow = table(rows, columns, painter, 40);
    expect(narrow).not.toContain("more");
    expect(Math.max(...narrow.split("\n").map((line) => line.length))).toBeLessThanOrEqual(40);
    expect(narrow.split(/\s+/).join(" ")).toContain(rows[0]![2]);
  });

  it("says less in a column before it gives one up", () => {
    const brief: readonly Column<readonly string[]>[] = [
      ...columns.slice(0, 2),
      { title: "words", value: (row) => row[2]!, brief: () => "words" },
    ];
    expect(table(rows, brief, painter, 100)).toContain(rows[0]![2]);
    expect(table(rows, brief, painter, 45).split("\n")[2]).toBe(`one   ${"x".repeat(30)}  words`);
    expect(table(rows, brief, painter, 20).split("\n")[2]).toBe("one   words");
  });

  it("keeps the latencies of a replay within a terminal, the mean and the 99th percentile first of all", async () => {
    const slow = ["replay", "azure-conv-2023", "--limit", "50", "--max-batched-tokens", "2"];
    const { stdout } = await isochron(slow, { columns: 60 });
    expect(stdout).toMatch(/^ +mean +median .*p99$/m);
    const rows = stdout.split("\n").filter((line) => / ms +[\d,]/.test(line));
    expect(rows).toHaveLength(5);
    for (const row of rows) expect(row.length).toBeLessThanOrEqual(60);
  });

  it("keeps every help within 80 columns", async () => {
    for (const name of ["replay", "plan", "simulate", "run", "view", "traces", "gpus", "models", "doctor"]) {
      const { stdout } = await isochron([name, "--help"]);
      // Examples are lines to be copied whole.
      const lines = stdout.split("\n").filter((line) => !line.startsWith("  $ "));
      for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(80);
    }
  });

  it("says what to do next with what was written, in words that a shell takes", async () => {
    const folder = join(temporaryFolder(), "a folder");
    const html = join(folder, "page.html");
    const both = await isochron(["replay", "azure-conv-2023", "--limit", "3", "--out", folder, "--html", html]);
    expect(both.stdout).toContain(`look at it: isochron view '${folder}', or open ${html} in a browser\n`);
    const page = await isochron(["replay", "azure-conv-2023", "--limit", "1", "--html", html]);
    expect(page.stdout).toContain(`\nlook at it: open ${html} in a browser\n`);
    expect(page.stdout).toContain("completed          1 request\n");
  });

  it("says nothing of SMs and attention policies where the step timer knows none", async () => {
    const analytic = (await isochron(["replay", "azure-conv-2023", "--limit", "3"])).stdout;
    expect(analytic).not.toMatch(/SMs busy|imbalance|balanced|collectives/);
    const kernel = (await isochron(["replay", "azure-conv-2023", "--limit", "3", "--step-timer", "kernel"])).stdout;
    expect(kernel).toMatch(/SMs busy +[\d.]+ %/);
    expect(kernel).toContain("balanced attention, kernel step times");
  });
});
