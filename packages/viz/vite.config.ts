// Builds app/ into one self-contained template, dist/viewer.html: module scripts do not load from file://, so the chunk
// and the style sheet are inlined, and the page's content-security-policy names both by hash.

import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

function oneFile(): Plugin {
  return {
    name: "one-file",
    enforce: "post",
    apply: "build",
    generateBundle(_options, bundle) {
      const outputs = Object.values(bundle);
      const page = outputs.find((output) => output.fileName.endsWith(".html"));
      const chunk = outputs.find((output) => output.type === "chunk");
      const styles = outputs.find((output) => output.fileName.endsWith(".css"));
      if (page?.type !== "asset" || chunk?.type !== "chunk" || styles?.type !== "asset") {
        this.error("expected exactly one page, one chunk and one style sheet");
      }
      // Inside a script element only "</script" and "<!--" end or change the mode of the text.
      const code = `\n${chunk.code.replace(/<\/(script)/gi, "<\\/$1").replace(/<!--/g, "<\\!--")}`;
      const css = `\n${String(styles.source)}`;
      const policy = [
        "default-src 'none'",
        `script-src ${hash(code)}`,
        `style-src ${hash(css)}`,
        "img-src data: blob:",
        "connect-src 'self'",
        // The page reads large files in a worker, which is its own script.
        "worker-src blob:",
        "base-uri 'none'",
        "form-action 'none'",
      ].join("; ");
      const html = String(page.source)
        .replace(/<script type="module"[^>]*><\/script>/g, "")
        .replace(/<link rel="stylesheet"[^>]*>/g, "")
        .replace("<!--isochron:policy-->", `<meta http-equiv="Content-Security-Policy" content="${policy}" />`)
        .replace("<!--isochron:style-->", () => `<style>${css}</style>`)
        .replace("<!--isochron:script-->", () => `<script>${code}</script>`);
      for (const output of outputs) delete bundle[output.fileName];
      this.emitFile({ type: "asset", fileName: "viewer.html", source: html });
    },
  };
}

function hash(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}

export default defineConfig({
  root: path("./app"),
  base: "./",
  logLevel: "warn",
  build: {
    outDir: path("./dist"),
    emptyOutDir: false,
    target: "es2022",
    modulePreload: false,
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    rolldownOptions: { output: { format: "iife" } },
  },
  plugins: [oneFile()],
});
