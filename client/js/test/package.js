/* The package: its files, its types, its version, its README; and that it works where it is installed. Node only. */
import { spawnSync } from "node:child_process"
import fs from "node:fs"
import path from "node:path"
import process from "node:process"
import { Daemon, DAEMON, equal, main, ROOT, test } from "./harness.js"
import { VERSION } from "../src/index.js"

const PACKAGE = path.join(ROOT, "client/js")
const TOOLS = process.env.KYNETA_JS_TOOLS || path.join(ROOT, "build/js-tools")

function run(program, words, options = {}) {
  const done = spawnSync(program, words, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], ...options })
  if (done.status !== 0) throw new Error(`${program} ${words.join(" ")}: ${done.error ?? ""}\n${done.stdout}${done.stderr}`)
  return done.stdout
}

const description = JSON.parse(fs.readFileSync(path.join(PACKAGE, "package.json"), "utf8"))

test("the version is the daemon's", async () => {
  equal([VERSION, `kyneta-stored ${VERSION}`], [description.version, run(DAEMON, ["--version"]).trim()])
})

test("no dependencies, no scripts, no native code", async () => {
  for (const key of ["dependencies", "peerDependencies", "optionalDependencies", "scripts", "bin", "gypfile"])
    equal(description[key], undefined)
})

test("npm pack holds what it should and nothing else; installed from it, the one line works", async () => {
  await Daemon.run({}, async daemon => {
    const [packed] = JSON.parse(run("npm", ["pack", "--json", "--pack-destination", daemon.directory], { cwd: PACKAGE }))
    const modules = ["errors", "identity", "inbox", "index", "messages", "msgpack", "queue", "session", "store", "stream", "turn"]
    equal(
      packed.files.map(file => file.path).sort(),
      ["LICENSE", "README.md", "package.json", "src/index.d.ts", ...modules.map(name => `src/${name}.js`)].sort(),
    )
    const place = path.join(daemon.directory, "node_modules", description.name)
    fs.mkdirSync(place, { recursive: true })
    run("tar", ["xzf", path.join(daemon.directory, packed.filename), "-C", place, "--strip-components=1"])
    const program = path.join(daemon.directory, "host.mjs")
    fs.writeFileSync(
      program,
      `import { createDaemonStore } from "kyneta-daemon-store"
       class Exchange { constructor({ stores }) { this.stores = stores } }
       const exchange = new Exchange({ stores: [await createDaemonStore()] })
       console.log(exchange.stores[0].status().state)
       await exchange.stores[0].close()`,
    )
    const output = run(process.execPath, [program], { env: { ...process.env, KYNETA_STORE_SOCKET: daemon.socket } })
    equal(output, "ready\n")
  })
})

test("the declarations pass tsc --strict, and are the reference's", async () => {
  const words = "--strict --noEmit --target es2022 --module nodenext --moduleResolution nodenext --skipLibCheck false --types node"
  run(path.join(TOOLS, "node_modules/.bin/tsc"), [
    ...words.split(" "),
    "--typeRoots",
    path.join(TOOLS, "node_modules/@types"),
    path.join(PACKAGE, "test/types.ts"),
  ])
})

test("the README has every option, and its table says what the declarations say", async () => {
  const readme = fs.readFileSync(path.join(PACKAGE, "README.md"), "utf8")
  const source = fs.readFileSync(path.join(PACKAGE, "src/index.js"), "utf8")
  const types = fs.readFileSync(path.join(PACKAGE, "src/index.d.ts"), "utf8")
  const options = [.../** @type {any} */ (/const OPTIONS = \[([^\]]*)\]/.exec(source))[1].matchAll(/"(\w+)"/g)].map(([, name]) => name)
  equal(options.length > 8, true)
  const rows = [...readme.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name)
  equal(rows.filter(name => options.includes(name)), options)
  for (const name of options) equal(types.includes(`  ${name}?:`), true)
})

test("the documents of the package have no broken link", async () => {
  const readme = fs.readFileSync(path.join(PACKAGE, "README.md"), "utf8")
  for (const [, link] of readme.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) equal([link, fs.existsSync(path.join(PACKAGE, link))], [link, true])
})

await main()
