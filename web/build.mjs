// Builds the page into a folder: `node build.mjs [FOLDER]`, `dist` by default. Every file but index.html, the manifest and the worker
// carries the hash of its content in its name, so that caches may keep it for ever; the worker knows their names.
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(process.cwd(), process.argv[2] ?? join(relative(process.cwd(), here), "dist"));
const shared = { bundle: true, minify: true, target: "es2022", legalComments: "none", logLevel: "warning" };

rmSync(out, { recursive: true, force: true });
mkdirSync(join(out, "assets"), { recursive: true });

const page = await build({
  ...shared,
  entryPoints: { main: join(here, "src/main.tsx"), appearance: join(here, "src/appearance.ts") },
  outdir: join(out, "assets"),
  entryNames: "[name]-[hash]",
  format: "esm",
  jsx: "automatic",
  jsxImportSource: "preact",
  metafile: true,
});

const files = Object.keys(page.metafile.outputs).map((file) => "assets/" + file.split("/").pop());
const asset = (name, ext) => files.find((file) => file.startsWith(`assets/${name}-`) && file.endsWith(ext));
const names = { SCRIPT: asset("main", ".js"), STYLE: asset("main", ".css"), APPEARANCE: asset("appearance", ".js") };
const html = readFileSync(join(here, "src/index.html"), "utf8").replace(/\{\{(\w+)\}\}/g, (_, name) => names[name]);

const fixed = readdirSync(join(here, "public"));
for (const name of fixed) copyFileSync(join(here, "public", name), join(out, name));
const shell = ["./", ...files, ...fixed];
const digest = createHash("sha256")
  .update(html + shell.join())
  .digest("hex")
  .slice(0, 16);
await build({
  ...shared,
  entryPoints: [join(here, "src/worker.ts")],
  outfile: join(out, "worker.js"),
  format: "iife",
  define: { SHELL: JSON.stringify(shell), BUILD: JSON.stringify(digest) },
});
// Last: a server that reads the folder anew does so when this file has changed.
writeFileSync(join(out, "index.html"), html);
