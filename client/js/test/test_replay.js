/*
 * Recorded sessions, replayed: every call gives what it gave, and the database is the golden one, row for row.
 *
 * The project's own sample is always there; the others are in $KYNETA_FIXTURES. Calls go out in their order, as many at
 * once as a handle may have in flight. Only a replace or delete waits for the loads of its document: a load of several
 * pages that is overtaken by one begins again, and gives the document as it is then.
 */
import { Buffer } from "node:buffer"
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import fs from "node:fs"
import path from "node:path"
import { gunzipSync } from "node:zlib"
import { collect, Daemon, equal, FIXTURES, main, ROOT, SETTLES, test } from "./harness.js"

const IN_FLIGHT = 64

function* linesOf(file) {
  const bytes = fs.readFileSync(file)
  const text = file.endsWith(".gz") ? gunzipSync(bytes) : bytes
  for (let at = 0; at < text.length; ) {
    let end = text.indexOf(10, at)
    if (end < 0) end = text.length
    if (end > at) yield text.toString("utf8", at, end)
    at = end + 1
  }
}

function recordOf(json) {
  if (json.kind !== "entry") return json
  const data = json.payload.data
  if (typeof data === "string") return json
  return { ...json, payload: { ...json.payload, data: new Uint8Array(Buffer.from(data.$base64, "base64")) } }
}

const hash = data => createHash("sha256").update(data).digest("hex")

function digestOf(records) {
  const lines = records.map(record => {
    if (record.kind === "meta") return `meta|${hash(JSON.stringify(record.meta))}\n`
    const { kind, encoding, data, lineage } = record.payload
    const mark = typeof data === "string" ? "s" : "b"
    return `entry|${kind}|${encoding}|${hash(record.version)}|${lineage === undefined ? "-" : hash(lineage)}|${mark}|${hash(data)}\n`
  })
  return { count: records.length, sha256: hash(lines.join("")) }
}

/** Key order of metadata matters; of records the reference's is not kept by the trace. */
function comparable(record) {
  return record.kind === "meta" ? `meta ${JSON.stringify(record.meta)}` : record
}

function tablesOf(line, layout) {
  const { docMeta, meta, records, storeMeta } = line.tables ?? {}
  if (line.tables === undefined) return undefined
  return layout === 1 ? { docMeta: meta ?? docMeta, records } : { docMeta, records, storeMeta }
}

class Replay {
  constructor(open, settle, layout) {
    this.open = open
    this.settle = settle
    this.layout = layout
    this.stores = new Map()
    this.pending = new Set()
    /** Loads under way, by document. */
    this.loads = new Map()
  }

  async run(lines) {
    for (const line of lines) {
      const call = JSON.parse(line)
      await this.#one(call)
    }
    await Promise.all(this.pending)
    for (const store of this.stores.values()) await store.close()
  }

  async #one(call) {
    const name = call.store ?? "main"
    if (call.op === "open") {
      await Promise.all(this.pending)
      this.stores.set(name, await this.open({ settle: this.settle, layout: this.layout, tables: tablesOf(call, this.layout) }))
      return
    }
    if (!this.stores.has(name)) await this.#one({ op: "open", store: call.store })
    const store = this.stores.get(name)
    if (call.op === "close") {
      this.stores.delete(name)
      await store.close()
      return
    }
    const key = `${name} ${call.docId}`
    if (call.op === "replace" || call.op === "delete") await this.loads.get(key)
    const done = this.#check(store, call).catch(error => {
      throw new Error(`${JSON.stringify(call).slice(0, 300)}: ${error.message}`, { cause: error })
    })
    this.pending.add(done)
    if (call.op === "loadAll") this.loads.set(key, done)
    const forget = () => this.pending.delete(done)
    done.then(forget, () => undefined)
    if (this.pending.size >= IN_FLIGHT) await Promise.race(this.pending)
  }

  async #check(store, call) {
    if (call.error !== undefined) {
      let message
      try {
        await this.#call(store, call)
      } catch (error) {
        message = error.message
      }
      if (message === undefined) throw new Error("was not refused")
      // A record of an unknown kind cannot be said on the wire: any refusal counts.
      const isKnown = (call.records ?? [call.record]).every(record => ["meta", "entry"].includes(record?.kind))
      if (isKnown) equal(message, call.error)
      return
    }
    const result = await this.#call(store, call)
    const expected = this.layout === 1 && call.expectV1 !== undefined ? call.expectV1 : call.expect
    if (expected === undefined) return
    if (call.op === "currentMeta") equal(JSON.stringify(result), JSON.stringify(expected))
    else if (call.op === "listDocIds") equal(result, expected)
    else if (Array.isArray(expected)) equal(result.map(comparable), expected.map(recordOf).map(comparable))
    else equal(digestOf(result), { count: expected.count, sha256: expected.sha256 })
  }

  #call(store, { op, docId, record, records, prefix }) {
    switch (op) {
      case "append":
        return store.append(docId, recordOf(record))
      case "replace":
        return store.replace(docId, records.map(recordOf))
      case "delete":
        return store.delete(docId)
      case "currentMeta":
        return store.currentMeta(docId)
      case "loadAll":
        return collect(store.loadAll(docId))
      case "listDocIds":
        return collect(store.listDocIds(prefix))
      default:
        throw new Error(`unknown op ${op}`)
    }
  }
}

function replay(file, layout, golden) {
  for (const settle of SETTLES)
    test(`${path.basename(file)}${golden === undefined ? "" : `, like ${golden[golden.length - 1].replace(/.*\//, "")}`} (settle ${settle})`, async () => {
      await Daemon.run({}, async (daemon, open) => {
        await new Replay(open, settle, layout).run(linesOf(file))
        if (golden === undefined) return
        await daemon.stop()
        const words = [...golden, daemon.database]
        if (golden[0] !== "--digest") words.push("--extra-ok")
        const verified = spawnSync("python3", [path.join(FIXTURES, "verify_golden.py"), ...words], { encoding: "utf8" })
        if (verified.status !== 0) throw new Error(verified.stdout + verified.stderr)
      })
    })
}

for (const layout of [1, 2]) replay(path.join(ROOT, `tests/fixtures/sample.v${layout}.ndjson`), layout)
if (fs.existsSync(FIXTURES)) {
  const fixture = name => path.join(FIXTURES, name)
  for (const layout of [1, 2]) replay(fixture(`session-small.v${layout}.ndjson`), layout, [fixture(`session-small.v${layout}.db`)])
  for (const name of ["session-large", "session-exchange"])
    replay(fixture(`${name}.ndjson.gz`), 2, [fixture(`${name}.v2.db.gz`)])
}

await main()
