/*
 * A driver that uses a store as an Exchange does (2.x and 3.0: its store program and its runtime, in short):
 *
 *   - a document is opened by currentMeta, then loadAll; one that is nowhere is registered with two appends;
 *   - one write is in flight for a document. A change that arrives during it makes a delta since the last *confirmed*
 *     version, which is queued; but during the first write there is none, and the change is left to the next one;
 *   - destroy does not wait; shutdown waits for the writes in flight, then closes.
 *
 * So a change is lost if it arrives during the first write and no other follows. That is why settle "sent" is the
 * default, and these tests keep the reason true.
 */
import { setImmediate } from "node:timers"
import { collect, Daemon, Delay, equal, main, meta, META, random, test } from "./harness.js"
import { createDaemonStore } from "../src/index.js"

const turn = () => new Promise(resolve => setImmediate(resolve))

/** A replica: the changes it has seen. Its version is how many. */
class Document {
  constructor(id) {
    this.id = id
    this.changes = []
    /** unwritten, idle {version} or writing {revertTo, pending, queued} */
    this.phase = undefined
  }

  since(version) {
    return {
      kind: "entry",
      payload: { kind: "since", encoding: "json", data: JSON.stringify(this.changes.slice(version)) },
      version: String(this.changes.length),
    }
  }

  entirety() {
    const entry = this.since(0)
    return { ...entry, payload: { ...entry.payload, kind: "entirety" } }
  }
}

class Host {
  constructor(store) {
    this.store = store
    this.documents = new Map()
    this.errors = []
    this.idle = []
  }

  async open(id) {
    const document = new Document(id)
    this.documents.set(id, document)
    const stored = await this.store.currentMeta(id)
    let loaded = false
    if (stored !== null)
      for await (const record of this.store.loadAll(id)) {
        if (record.kind !== "entry") continue
        loaded = true
        for (const change of JSON.parse(record.payload.data))
          if (!document.changes.includes(change)) document.changes.push(change)
      }
    if (loaded) document.phase = { status: "idle", version: document.changes.length }
    else this.#write(document, { status: "unwritten" }, [meta(), document.entirety()])
    return document
  }

  change(document, change) {
    document.changes.push(change)
    const { phase } = document
    const settled = phase.status === "writing" ? phase.revertTo : phase
    if (settled.status === "unwritten") return
    const entry = document.since(settled.version)
    if (phase.status === "writing") phase.queued.push(entry)
    else this.#write(document, phase, [entry])
  }

  #write(document, revertTo, records, queued = []) {
    const phase = { status: "writing", revertTo, queued }
    document.phase = phase
    const append = async () => {
      for (const record of records) await this.store.append(document.id, record)
    }
    append().then(
      () => this.#settle(document, phase, { status: "idle", version: Number(records[records.length - 1].version) }),
      error => {
        this.errors.push(error)
        this.#settle(document, phase, phase.revertTo)
      },
    )
  }

  #settle(document, phase, settled) {
    if (document.phase !== phase) return
    const [next, ...rest] = phase.queued
    if (next !== undefined) this.#write(document, settled, [next], rest)
    else document.phase = settled
    if (this.#isIdle()) for (const resolve of this.idle.splice(0)) resolve()
  }

  #isIdle() {
    return [...this.documents.values()].every(({ phase }) => phase !== undefined && phase.status !== "writing")
  }

  destroy(document) {
    this.documents.delete(document.id)
    document.phase = { status: "destroyed" }
    this.store.delete(document.id).catch(error => this.errors.push(error))
  }

  async shutdown() {
    if (!this.#isIdle()) await new Promise(resolve => this.idle.push(resolve))
    await this.store.close()
  }
}

const DOCUMENTS = 50

/** Fifty documents at once, changes at any moment, some destroyed, then an immediate end. What should be there. */
async function drive(store, seed) {
  const host = new Host(store)
  const dice = random(seed)
  const expected = new Map()
  const plans = Array.from({ length: DOCUMENTS }, (_, i) => ({
    id: `doc/${i}`,
    pauses: Array.from({ length: 1 + dice.below(6) }, () => 1 + dice.below(4)),
    isDestroyed: dice.chance(0.2),
  }))
  await Promise.all(
    plans.map(async ({ id, pauses, isDestroyed }) => {
      const document = await host.open(id)
      for (const [i, turns] of pauses.entries()) {
        for (let n = 0; n < turns; n++) await turn()
        host.change(document, `${id}#${i}`)
      }
      if (isDestroyed) host.destroy(document)
      else expected.set(id, document.changes)
    }),
  )
  await host.shutdown()
  return { expected, errors: host.errors }
}

/** What is there: changes by document, as often as they are stored. */
async function stored(daemon) {
  const store = await createDaemonStore({ path: daemon.socket })
  const found = new Map()
  for await (const id of store.listDocIds()) {
    const entries = (await collect(store.loadAll(id))).filter(record => record.kind === "entry")
    equal(await store.currentMeta(id), META)
    found.set(id, entries.flatMap(entry => JSON.parse(entry.payload.data)))
  }
  await store.close()
  return found
}

const sorted = map => [...map].sort(([a], [b]) => (a < b ? -1 : 1))

for (const delay of [0, 20])
  test(`settle sent loses nothing, and stores nothing twice (replies ${delay} ms late)`, async () => {
    for (const seed of [1, 2, 3])
      await Daemon.run({}, async daemon => {
        await Delay.run(daemon, delay, async path => {
          const { expected, errors } = await drive(await createDaemonStore({ path }), seed)
          equal(errors, [])
          equal(sorted(await stored(daemon)), sorted(expected))
        })
      })
  })

test("settle done on a slow daemon loses changes: the reason for the default", async () => {
  for (const seed of [1, 2, 3])
    await Daemon.run({}, async daemon => {
      await Delay.run(daemon, 20, async path => {
        const { expected } = await drive(await createDaemonStore({ path, settle: "done" }), seed)
        const found = await stored(daemon)
        const missing = [...expected].flatMap(([id, changes]) => changes.filter(change => !found.get(id)?.includes(change)))
        if (missing.length === 0) throw new Error(`seed ${seed}: nothing is missing`)
      })
    })
})

test("200 pushes to one document: 200 items with settle sent, thousands with done on a slow daemon", async () => {
  const items = {}
  for (const settle of /** @type {const} */ (["sent", "done"]))
    await Daemon.run({}, async daemon => {
      await Delay.run(daemon, 20, async path => {
        const store = await createDaemonStore({ path, settle })
        const host = new Host(store)
        const document = await host.open("list")
        while (document.phase.status === "writing") await turn()
        for (let i = 0; i < 200; i++) {
          host.change(document, String(i))
          await turn()
        }
        await host.shutdown()
        items[settle] = (await stored(daemon)).get("list").length
      })
    })
  equal(items.sent, 200)
  equal(items.done > 1000, true)
})

test("a restarted host finds everything, and goes on", async () => {
  await Daemon.run({}, async daemon => {
    const path = daemon.socket
    for (let life = 0; life < 3; life++) {
      const host = new Host(await createDaemonStore({ path }))
      const documents = await Promise.all(Array.from({ length: DOCUMENTS }, (_, i) => host.open(`doc/${i}`)))
      await turn()
      for (const document of documents) {
        equal(document.changes.length, life)
        host.change(document, `${document.id} in life ${life}`)
      }
      await host.shutdown()
    }
    for (const changes of (await stored(daemon)).values()) equal(changes.length, 3)
  })
})

await main()
