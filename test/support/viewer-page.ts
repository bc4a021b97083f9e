// The viewer in a real browser: pages written to a folder of their own, opened from file:// without a network.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { renderPage } from "@isochron/viz";
import type { Browser, BrowserContextOptions, Download, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { launchChromium } from "./browser.ts";
import { buildViewer } from "./viewer.ts";

export type Bundle = Parameters<typeof renderPage>[0];

export interface OpenOptions extends BrowserContextOptions {
  readonly hash?: string;
  /** Runs in the page before anything of it does. */
  readonly init?: () => void;
}

/** One browser and one folder for a test file. */
export class ViewerBrowser {
  readonly folder: string = mkdtempSync(join(tmpdir(), "isochron-viewer-"));
  readonly #browser: Browser;
  /** Errors and network requests of every page opened so far; tests expect both to be empty. */
  readonly trouble: string[] = [];
  #pages = 0;

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  static async start(): Promise<ViewerBrowser> {
    buildViewer();
    return new ViewerBrowser(await launchChromium());
  }

  async close(): Promise<void> {
    await this.#browser.close();
    rmSync(this.folder, { recursive: true });
  }

  /** Writes a page that holds the documents; its path. */
  write(bundle: Bundle): string {
    const file = join(this.folder, `page-${this.#pages++}.html`);
    writeFileSync(file, renderPage(bundle));
    return file;
  }

  async open(bundle: Bundle, options: OpenOptions = {}): Promise<Page> {
    return this.openFile(this.write(bundle), options);
  }

  async openFile(file: string, options: OpenOptions = {}): Promise<Page> {
    return this.openUrl(pathToFileURL(file).href + (options.hash ?? ""), { offline: true, ...options });
  }

  async openUrl(url: string, { hash: _, init, ...options }: OpenOptions = {}): Promise<Page> {
    const context = await this.#browser.newContext({ viewport: { width: 1280, height: 720 }, ...options });
    const page = await context.newPage();
    if (init !== undefined) await page.addInitScript(init);
    page.on("pageerror", (error) => this.trouble.push(String(error.stack)));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") this.trouble.push(message.text());
    });
    page.on("request", (request) => {
      if (!/^(file|data|blob):/.test(request.url()) && !request.url().startsWith(url.replace(/#.*/, ""))) {
        this.trouble.push(`request to ${request.url()}`);
      }
    });
    await page.goto(url);
    await page.waitForFunction(() => document.querySelector(".boot") === null);
    // Views are filled in the frame after the one that ends the loading.
    await settle(page);
    return page;
  }
}

/** One browser for the tests of a file. A page is closed after its test, which fails where the page logged an error or asked the network. */
export function holdViewer(take: (viewer: ViewerBrowser) => void, pageOf: () => Page | undefined): void {
  let viewer: ViewerBrowser;
  beforeAll(async () => {
    viewer = await ViewerBrowser.start();
    take(viewer);
  });
  afterAll(() => viewer.close());
  afterEach(async () => {
    await pageOf()?.context().close();
    expect(viewer.trouble.splice(0)).toEqual([]);
  });
}

/** What tests of all views do with the page that is open. */
export function actionsOn(pageOf: () => Page): {
  readonly headline: () => Promise<string>;
  /** The link to what is shown, once it has been written. */
  readonly hash: () => Promise<string>;
  readonly press: (key: string) => Promise<void>;
} {
  return {
    headline: () => pageOf().locator("h1").innerText(),
    async hash() {
      await pageOf().waitForTimeout(200);
      return new URL(pageOf().url()).hash;
    },
    async press(key) {
      await pageOf().keyboard.press(key);
      await settle(pageOf());
    },
  };
}

/** Runs `action` and returns what it downloads. */
export async function downloadOf(
  page: Page,
  action: () => Promise<unknown>,
): Promise<{ name: string; content: Buffer }> {
  const [download] = (await Promise.all([page.waitForEvent("download"), action()])) as [Download, unknown];
  return { name: download.suggestedFilename(), content: readFileSync(await download.path()) };
}

/** Waits for the next two frames: state is drawn once a frame. */
export async function settle(page: Page): Promise<void> {
  await page.evaluate(
    () => new Promise<void>((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve()))),
  );
}

/** Drops files on the page, as a person would. */
export async function drop(page: Page, files: readonly { name: string; content: string }[]): Promise<void> {
  await page.evaluate((dropped) => {
    const transfer = new DataTransfer();
    for (const { name, content } of dropped) transfer.items.add(new File([content], name));
    for (const type of ["dragenter", "dragover", "drop"]) {
      document.body.dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer: transfer }));
    }
  }, files);
}

/** The pixels of the lanes, to compare two pages exactly. */
export function lanePixels(page: Page): Promise<string> {
  return page
    .locator("canvas.lanes")
    .first()
    .evaluate((canvas) => (canvas as HTMLCanvasElement).toDataURL());
}
