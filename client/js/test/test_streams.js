/* Large documents and listings: order, memory, and turns of the event loop for everybody else. */
import { setImmediate } from "node:timers"
import { bytes, collect, Daemon, equal, main, meta, test, text } from "./harness.js"

const RECORDS = 60_000

async function fill(store, docId, count) {
  await store.append(docId, meta())
  for (let i = 0; i < count; i++) {
    const write = store.append(docId, bytes(new Uint8Array(200).fill(i), String(i)))
    if (i % 1000 === 0) await write
  }
  await store.flush()
}

/** Turns of the event loop until it is told to stop. */
function turns() {
  const state = { count: 0, isOver: false }
  const turn = () => {
    state.count++
    if (!state.isOver) setImmediate(turn)
  }
  setImmediate(turn)
  return state
}

test("loads of a large document leave the event loop its turns", async () => {
  await Daemon.run({}, async (_, open) => {
    const store = await open({ durability: "committed" })
    await fill(store, "large", RECORDS)
    for (const streams of [1, 5]) {
      const seen = turns()
      await Promise.all(
        Array.from({ length: streams }, async () => {
          let next = -1
          let largest = 0
          let before = seen.count
          let inOneTurn = 0
          for await (const record of store.loadAll("large")) {
            if (next >= 0 && (record.kind !== "entry" || record.version !== String(next) || record.payload.data[0] !== next % 256))
              throw new Error(`record ${next} is ${JSON.stringify(record.version)}`)
            next++
            inOneTurn = seen.count === before ? inOneTurn + 1 : 0
            before = seen.count
            largest = Math.max(largest, inOneTurn)
          }
          equal(next, RECORDS)
          // Far from all of it: a slice of time is a few thousand records even on a fast machine.
          equal(largest < RECORDS / 2, true)
        }),
      )
      seen.isOver = true
    }
  })
})

test("a page that waits to be read is not touched by what comes after it", async () => {
  await Daemon.run({}, async (_, open) => {
    const store = await open({ durability: "committed" })
    // Nearly all of what is read from a socket at once, and yet in one piece of it.
    for (const docId of ["a", "b"])
      for (let i = 0; i <= 200; i++)
        await store.append(docId, i === 0 ? meta() : bytes(new Uint8Array(250).fill(i), `${docId} ${i}`))
    await store.flush()
    const streams = ["a", "b"].map(docId => store.loadAll(docId))
    const begun = []
    for (const stream of streams) begun.push((await stream.next()).value.kind)
    equal([begun, (await store.currentMeta("a")).schemaHash], [["meta", "meta"], meta().meta.schemaHash])
    for (const [index, docId] of ["a", "b"].entries()) {
      let next = 1
      for await (const record of streams[index])
        equal([record.version, record.payload.data], [`${docId} ${next}`, new Uint8Array(250).fill(next++)])
      equal(next, 201)
    }
  })
})

test("a load that nobody finishes costs nothing more, and another one goes on", async () => {
  await Daemon.run({}, async (_, open) => {
    const store = await open({ durability: "committed", pageBytes: 4096 })
    await fill(store, "a", 2000)
    const left = []
    for (let i = 0; i < 50; i++) {
      const stream = store.loadAll("a")
      await stream.next()
      left.push(stream)
    }
    equal((await collect(store.loadAll("a"))).length, 2001)
    for (const stream of left) await stream.return()
    for await (const record of store.loadAll("a")) if (record.kind === "entry") break
    await store.append("a", text("more"))
    equal((await collect(store.loadAll("a"))).length, 2002)
  })
})

test("a document that is compacted while it is loaded: one generation or the other, never a mix", async () => {
  await Daemon.run({}, async (_, open) => {
    const store = await open({ durability: "committed", pageBytes: 4096 })
    const other = await open({ durability: "committed" })
    const generation = n => [meta(), ...Array.from({ length: 300 }, (_, i) => text("x".repeat(100), `${n}`, i === 0 ? "entirety" : "since"))]
    await other.replace("a", generation(0))
    await other.flush()
    let isOver = false
    const writing = (async () => {
      for (let n = 1; n <= 100; n++) await other.replace("a", generation(n)).then(() => other.flush())
      isOver = true
    })()
    while (!isOver) {
      const found = (await collect(store.loadAll("a"))).slice(1).map(record => record.version)
      equal([found.length, new Set(found).size], [300, 1])
    }
    await writing
  })
})

await main()
