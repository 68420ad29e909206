/* What the seven operations mean (semantics that are easy to miss, and the reference's own list), both ways to settle. */
import {
  bytes,
  collect,
  Daemon,
  equal,
  main,
  meta,
  META,
  refused,
  test,
  testBoth,
  text,
  until,
  versions,
} from "./harness.js"
import { createDaemonStore } from "../src/index.js"

/** A test with a store of its own. */
function contract(name, run, options = {}) {
  testBoth(name, settle =>
    Daemon.run({}, async (daemon, open) => {
      await run(await open({ settle, ...options }), { daemon, open: more => open({ settle, ...options, ...more }) })
    }),
  )
}

/* ---- metadata ---- */

contract("there is nothing where nothing was stored", async store => {
  equal(await store.currentMeta("nowhere"), null)
  equal(await collect(store.loadAll("nowhere")), [])
  equal(await collect(store.listDocIds()), [])
  await store.delete("nowhere")
})

contract("a meta is a row of the stream and the index", async store => {
  await store.append("a", meta())
  equal(await store.currentMeta("a"), META)
  equal(await collect(store.listDocIds()), ["a"])
  await store.append("a", meta())
  equal(await collect(store.loadAll("a")), [meta(), meta()])
})

contract("records come back in order, metas and entries together", async store => {
  const records = [
    meta(),
    text("{}", "v0", "entirety"),
    text("1", "v1"),
    meta({ schemaHash: "other" }),
    bytes(new Uint8Array([0, 255]), "v2"),
  ]
  for (const record of records) await store.append("a", record)
  equal(await collect(store.loadAll("a")), records)
  equal((await store.currentMeta("a")).schemaHash, "other")
})

contract("an entry before any meta is refused, and nothing is written", async (store, { daemon }) => {
  for (let i = 0; i < 2; i++) {
    const error = await refused(
      store.append("a'b", text("1")),
      "Store: first record for doc 'a'b' must be meta, got entry",
    )
    equal([error.name, error.code, error.outcome], ["DaemonStoreError", "entry_before_meta", "not-applied"])
  }
  equal(await collect(store.loadAll("a'b")), [])
  await store.append("a'b", meta())
  await store.append("a'b", text("1"))
  await store.flush()
  equal(daemon.sequence("a'b"), [0, 1])
})

contract("replace needs a meta, anywhere in the batch", async store => {
  const message = "Store: batch must contain at least one meta record"
  for (const docId of ["new", "old"]) {
    if (docId === "old") await store.append(docId, meta())
    equal((await refused(store.replace(docId, []), message)).code, "meta_missing")
    await refused(store.replace(docId, [text("1")]), message)
  }
  equal(await store.currentMeta("new"), null)
  equal(await collect(store.loadAll("old")), [meta()])
  const batch = [text("1"), meta({ schemaHash: "first" }), text("2"), meta({ schemaHash: "last", more: [1] }), text("3")]
  await store.replace("new", batch)
  equal(await collect(store.loadAll("new")), batch)
  equal(await store.currentMeta("new"), { ...META, schemaHash: "last", more: [1] })
})

contract("replaceable is what agrees: replicaType, then syncMode", async store => {
  const other = meta({ replicaType: ["plain", 2, 0], syncMode: { ...META.syncMode, durability: "transient" } })
  const mode = JSON.stringify(META.syncMode)
  const transient = JSON.stringify({ ...META.syncMode, durability: "transient" })
  await store.append("a", meta())
  for (const write of [record => store.append("a", record), record => store.replace("a", [record])]) {
    const error = await refused(
      write(other),
      "Store: replicaType mismatch for document — existing [plain,1,0] vs incoming [plain,2,0]",
    )
    equal(error.code, "replica_type_mismatch")
    await refused(write(meta({ replicaType: ["loro", 1, 0] })), /existing \[plain,1,0\] vs incoming \[loro,1,0\]/)
    for (const key of ["writerModel", "delivery", "durability"])
      await refused(write(meta({ syncMode: { ...META.syncMode, [key]: "else" } })), /^Store: syncMode mismatch for document/)
    await refused(
      write(meta({ syncMode: { ...META.syncMode, durability: "transient" } })),
      `Store: syncMode mismatch for document — existing ${mode} vs incoming ${transient}`,
    )
  }
  equal(await collect(store.loadAll("a")), [meta()])
  await store.append("a", meta({ replicaType: ["plain", 1, 7] }))
  await store.append("a", meta({ syncMode: { durability: "persistent", delivery: "delta-capable", writerModel: "serialized", x: 1 } }))
  await store.append("a", meta({ schemaHash: "" }))
  equal((await collect(store.loadAll("a"))).length, 4)
})

contract("metas of one batch are compared with each other", async store => {
  const other = { ...META.syncMode, delivery: "snapshot-only" }
  for (const docId of ["new", "old"]) {
    if (docId === "old") await store.append(docId, meta())
    await refused(
      store.replace(docId, [meta(), text("1"), meta({ replicaType: ["plain", 2, 0] })]),
      docId === "new"
        ? "Store: replicaType mismatch within batch — [plain,1,0] vs [plain,2,0]"
        : /^Store: replicaType mismatch (within batch|for document) — /,
    )
    await refused(store.replace(docId, [meta(), meta({ syncMode: other })]), /^Store: syncMode mismatch (within batch|for document) — /)
  }
  await refused(
    store.replace("new", [meta(), meta({ syncMode: other })]),
    `Store: syncMode mismatch within batch — ${JSON.stringify(META.syncMode)} vs ${JSON.stringify(other)}`,
  )
  equal(await store.currentMeta("new"), null)
})

contract("what is no metadata is refused", async store => {
  for (const wrong of [
    {},
    { replicaType: ["plain", 1], syncMode: META.syncMode, schemaHash: "" },
    { ...META, replicaType: ["plain", 1.5, 0] },
    { ...META, schemaHash: 7 },
    { ...META, syncMode: { writerModel: "serialized" } },
    { ...META, syncMode: undefined },
  ]) {
    equal((await refused(store.append("a", { kind: "meta", meta: wrong }), /./)).code, "bad_meta")
    equal((await refused(store.replace("a", [{ kind: "meta", meta: wrong }]), /./)).code, "bad_meta")
  }
  for (const wrong of [null, "text", [META]])
    equal((await refused(store.append("a", { kind: "meta", meta: wrong }), /record.meta/)).code, "misuse")
  equal(await collect(store.listDocIds()), [])
})

contract("metadata is kept verbatim: order of keys, unknown ones, odd values", async (store, { daemon }) => {
  const odd = {
    zeta: [1, { b: null, a: "é\u2028\u0000😀" }],
    schemaHash: "h",
    replicaType: ["yjs", 1, 3],
    syncMode: { durability: "persistent", extra: true, delivery: "delta-capable", writerModel: "concurrent" },
    alpha: 1e21,
    escaped: "\ud800",
  }
  await store.append("a", { kind: "meta", meta: odd })
  equal(JSON.stringify(await store.currentMeta("a")), JSON.stringify(odd))
  equal(JSON.stringify((await collect(store.loadAll("a")))[0].meta), JSON.stringify(odd))
  equal(daemon.query("SELECT data FROM kyneta_doc_meta")[0][0], JSON.stringify(odd))
})

contract("a store of layout 1 follows its first meta, and speaks of syncProtocol", async (store, { daemon, open }) => {
  const old = schemaHash => ({
    kind: "meta",
    meta: { replicaType: ["plain", 1, 0], syncProtocol: { ...META.syncMode }, schemaHash },
  })
  await store.append("a", old("1"))
  await store.append("a", text("x"))
  equal(await store.currentMeta("a"), old("1").meta)
  equal((await refused(store.append("b", meta()), /./)).code, "bad_meta")
  await refused(
    store.append("a", { kind: "meta", meta: { ...old("1").meta, syncProtocol: { ...META.syncMode, delivery: "x" } } }),
    /^Store: syncProtocol mismatch for document — existing /,
  )
  await store.flush()
  equal(daemon.query("SELECT count(*) FROM kyneta_meta"), [["1"]])
  const again = await open()
  equal(again.status().layout, 1)
  equal((await refused(again.append("b", meta()), /./)).code, "bad_meta")
  await again.append("b", old("2"))
  await again.flush()
})

contract("a new store takes the layout that was asked for", async (store, { daemon, open }) => {
  await (await open({ layout: 2 })).append("a", meta())
  await until(() => daemon.query("SELECT name FROM sqlite_master WHERE name = 'kyneta_doc_meta'").length > 0)
  equal((await refused((await open({ layout: 1 })).append("b", { kind: "meta", meta: { ...META, syncMode: undefined, syncProtocol: META.syncMode } }), /./)).code, "bad_meta")
  await store.flush()
})

/* ---- fidelity ---- */

const STRINGS = [
  "",
  "plain",
  "a\u0000b",
  "\u0000",
  "\ufeffmark",
  "é e\u0301",
  "\u2028\u2029",
  "😀👩‍👩‍👧",
  '"\\/\b\f\n\r\t\u0001\u001f\u007f',
  "\uffff\u{10ffff}",
  "x".repeat(19),
  "x".repeat(20),
  "x".repeat(21),
  "é".repeat(20),
  "x".repeat(31),
  "x".repeat(32),
  "x".repeat(255),
  "x".repeat(256),
  "x".repeat(5000),
  "界".repeat(30000),
]

contract("strings come back as they are: ids, versions, data, lineages", async store => {
  for (const string of STRINGS) {
    await store.append(string, meta({ schemaHash: string }))
    await store.append(string, text(string, string, "entirety", { lineage: string }))
    await store.append(string, text(string, string))
  }
  for (const string of STRINGS) {
    equal((await store.currentMeta(string)).schemaHash, string)
    equal(await collect(store.loadAll(string)), [
      meta({ schemaHash: string }),
      text(string, string, "entirety", { lineage: string }),
      text(string, string),
    ])
  }
  const ids = [...STRINGS].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  equal(await collect(store.listDocIds()), ids)
})

contract("bytes come back as plain Uint8Arrays with memory of their own", async store => {
  await store.append("a", meta())
  const sizes = [0, 1, 63, 64, 65, 255, 256, 65535, 65536, 1 << 20, 3 << 20]
  const datas = sizes.map(size => new Uint8Array(size).map((_, i) => i * 7 + size))
  for (const data of datas) await store.append("a", bytes(data))
  const loaded = (await collect(store.loadAll("a"))).slice(1).map(record => record.payload.data)
  equal(loaded.length, datas.length)
  for (const [i, data] of loaded.entries()) {
    equal(Object.getPrototypeOf(data), Uint8Array.prototype)
    equal(data.buffer.byteLength, data.length)
    equal(Buffer.compare(data, datas[i]), 0)
  }
})

contract("bytes are taken when the promise is resolved: a Buffer, a view, and what becomes of them later", async store => {
  const memory = new Uint8Array([1, 2, 3, 4, 5, 6])
  await store.append("a", meta())
  await store.append("a", bytes(Buffer.from([9, 8])))
  await store.append("a", bytes(memory.subarray(2, 4)))
  memory.fill(0)
  equal((await collect(store.loadAll("a"))).slice(1), [bytes(new Uint8Array([9, 8])), bytes(new Uint8Array([3, 4]))])
})

contract("the type of data decides, not its encoding", async (store, { daemon }) => {
  const records = [
    meta(),
    { kind: "entry", payload: { kind: "since", encoding: "binary", data: "text" }, version: "" },
    { kind: "entry", payload: { kind: "since", encoding: "json", data: new Uint8Array([1]) }, version: "" },
    { kind: "entry", payload: { kind: "entirety", encoding: "json", data: new Uint8Array(0) }, version: "" },
    { kind: "entry", payload: { kind: "entirety", encoding: "json", data: "" }, version: "" },
  ]
  for (const record of records) await store.append("a", record)
  equal(await collect(store.loadAll("a")), records)
  equal(daemon.query("SELECT typeof(blob), length(blob) FROM kyneta_records ORDER BY seq"), [
    ["null", ""],
    ["null", ""],
    ["blob", "1"],
    ["blob", "0"],
    ["null", ""],
  ])
})

contract("of an entry, and of its payload, only what belongs to it is kept", async store => {
  await store.append("a", meta())
  await store.append("a", { ...text("1"), extra: 1, payload: { ...text("1").payload, extra: 2, lineage: undefined } })
  equal(await collect(store.loadAll("a")), [meta(), text("1")])
})

contract("a lone surrogate is refused, wherever text goes as text", async store => {
  await store.append("a", meta())
  for (const lone of ["\ud800", "a\udc00b", "😀\ud83d", "x".repeat(100) + "\udfff"]) {
    for (const attempt of [
      store.append(lone, meta()),
      store.append("a", text(lone, "v")),
      store.append("a", text("1", lone)),
      store.append("a", text("1", "v", "since", { lineage: lone })),
      store.replace("a", [meta(), text(lone)]),
      store.delete(lone),
      store.currentMeta(lone),
      collect(store.loadAll(lone)),
      collect(store.listDocIds(lone)),
    ])
      equal((await refused(attempt, /lone surrogate/)).code, "misuse")
  }
  equal(await collect(store.loadAll("a")), [meta()])
})

contract("what is no record is refused", async store => {
  await store.append("a", meta())
  for (const wrong of [
    undefined,
    null,
    "record",
    {},
    { kind: "else" },
    { kind: "entry", version: "" },
    { ...text("1"), version: 7 },
    { ...text("1"), payload: { kind: "all", encoding: "json", data: "" } },
    { ...text("1"), payload: { kind: "since", encoding: "xml", data: "" } },
    { ...text("1"), payload: { kind: "since", encoding: "json" } },
    { ...text("1"), payload: { kind: "since", encoding: "json", data: new ArrayBuffer(1) } },
    { ...text("1"), payload: { kind: "since", encoding: "json", data: "", lineage: 1 } },
  ]) {
    equal((await refused(store.append("a", wrong), /./)).code, "misuse")
    equal((await refused(store.replace("a", [meta(), wrong]), /./)).code, "misuse")
  }
  await refused(store.replace("a", "records"), /must be an array/)
  await refused(store.append(undefined, meta()), /docId must be a string/)
  await refused(store.currentMeta(7), /docId must be a string/)
  equal(await collect(store.loadAll("a")), [meta()])
})

contract("a record larger than the daemon takes is refused by itself", async store => {
  await store.append("a", meta())
  const error = await refused(store.append("a", bytes(new Uint8Array(65 << 20))), /the daemon takes/)
  equal([error.code, error.outcome], ["frame_too_large", "not-applied"])
  await store.append("a", bytes(new Uint8Array(20 << 20)))
  equal((await collect(store.loadAll("a"))).length, 2)
})

/* ---- numbers ---- */

contract("seq: from 0, on after a replace, from 0 after a delete", async (store, { daemon }) => {
  for (const record of [meta(), text("1"), text("2")]) await store.append("a", record)
  await store.flush()
  equal(daemon.sequence("a"), [0, 1, 2])
  await store.replace("a", [meta(), text("3", "3", "entirety")])
  await store.append("a", text("4"))
  await store.flush()
  equal(daemon.sequence("a"), [0, 1, 2])
  equal(await versions(store, "a"), ["3", "4"])
  await store.delete("a")
  await store.flush()
  equal(daemon.sequence("a"), [])
  await store.append("a", meta())
  await store.flush()
  equal(daemon.sequence("a"), [0])
})

contract("delete removes stream and index; the document may come back as another", async store => {
  await store.append("a", meta())
  await store.append("a", text("1"))
  await store.delete("a")
  equal(await store.currentMeta("a"), null)
  equal(await collect(store.loadAll("a")), [])
  equal(await collect(store.listDocIds()), [])
  await refused(store.append("a", text("2")), /must be meta, got entry/)
  await store.append("a", meta({ replicaType: ["loro", 9, 0] }))
  equal((await store.currentMeta("a")).replicaType, ["loro", 9, 0])
})

/* ---- listings ---- */

contract("a prefix means itself: case, %, _ and \\", async store => {
  const ids = ["100%_done", "100_other", "100xyz", "Users/a", "users/a", "users/b", "users\\c", "users0", "u\u0000x", "é", "é1"]
  for (const id of ids) await store.append(id, meta())
  const byBytes = list => [...list].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  equal(await collect(store.listDocIds()), byBytes(ids))
  for (const prefix of ["", "100%", "100_", "100", "users/", "users\\", "U", "u", "u\u0000", "é", "nothing", "users/a", "\u{10ffff}"])
    equal(await collect(store.listDocIds(prefix)), byBytes(ids.filter(id => id.startsWith(prefix))))
})

contract("a listing over many pages holds each id once", async store => {
  const ids = Array.from({ length: 700 }, (_, i) => `doc/${String(i).padStart(5, "0")}/${"x".repeat(100)}`)
  await Promise.all(ids.map(id => store.append(id, meta())))
  equal(await collect(store.listDocIds("doc/")), ids)
}, { pageBytes: 4096 })

/* ---- order ---- */

contract("calls take effect in call order, awaited or not", async store => {
  const results = [
    store.append("a", meta()),
    store.append("a", text("1")),
    versions(store, "a"),
    store.append("a", text("2")),
    store.currentMeta("a"),
    store.replace("a", [meta({ schemaHash: "2" }), text("3", "3", "entirety")]),
    versions(store, "a"),
    store.append("a", text("4")),
    collect(store.listDocIds()),
    store.delete("a"),
    store.currentMeta("a"),
    versions(store, "a"),
    store.append("a", meta({ replicaType: ["other", 1, 0] })),
    store.append("a", text("5")),
    versions(store, "a"),
  ]
  const done = await Promise.all(results)
  equal(
    done.filter(result => result !== undefined),
    [["1"], META, ["3"], ["a"], null, [], ["5"]],
  )
})

contract("a read takes effect when it is called, not when it is consumed", async store => {
  await store.append("a", meta())
  const before = store.loadAll("a")
  const list = store.listDocIds()
  store.append("a", text("1"))
  await store.append("b", meta())
  equal(await collect(before), [meta()])
  equal((await collect(list))[0], "a")
})

contract("a refused call in between changes nothing for the others", async store => {
  const results = await Promise.allSettled([
    store.append("a", text("0")),
    store.append("a", meta()),
    store.append("a", text("1")),
    store.append("a", meta({ replicaType: ["plain", 2, 0] })),
    store.append("a", text("2")),
    store.replace("a", [text("x")]),
    store.append("a", text("3")),
  ])
  equal(results.map(result => result.status[0]).join(""), "rffrfrf")
  equal(await versions(store, "a"), ["1", "2", "3"])
})

contract("a thousand writes that nobody awaits are all there, in order", async (store, { daemon, open }) => {
  for (let i = 0; i < 1000; i++) {
    if (i < 10) store.append(`doc${i % 10}`, meta())
    store.append(`doc${i % 10}`, text(String(i)))
  }
  await store.close()
  const again = await open()
  for (let doc = 0; doc < 10; doc++)
    equal(await versions(again, `doc${doc}`), Array.from({ length: 100 }, (_, i) => String(i * 10 + doc)))
})

contract("delete without waiting, then close: both are carried out", async (store, { open }) => {
  await store.append("a", meta())
  await store.append("b", meta())
  store.delete("a")
  const gone = store.currentMeta("a")
  await store.close()
  equal(await gone, null)
  equal(await collect((await open()).listDocIds()), ["b"])
})

contract("a loadAll that is being read outlives close", async store => {
  await store.append("a", meta())
  for (let i = 0; i < 500; i++) store.append("a", text("x".repeat(100), String(i)))
  const reading = versions(store, "a")
  await store.close()
  equal((await reading).length, 500)
}, { pageBytes: 4096 })

/* ---- the reference's own list ---- */

contract("close and reopen: data, metadata and numbers survive", async (store, { daemon, open }) => {
  await store.append("doc-1", meta())
  await store.append("doc-1", text("1", "v1", "entirety"))
  await store.append("doc-1", text("2", "v2"))
  await store.close()
  const second = await open()
  equal(await second.currentMeta("doc-1"), META)
  await second.append("doc-1", text("3", "v3"))
  equal(await versions(second, "doc-1"), ["v1", "v2", "v3"])
  await second.flush()
  equal(daemon.sequence("doc-1"), [0, 1, 2, 3])
  await second.close()
  await daemon.stop()
  await daemon.start()
  equal(await versions(await open(), "doc-1"), ["v1", "v2", "v3"])
})

contract("replace is atomic: no reader sees less than a whole stream", async (store, { open }) => {
  const reader = await open()
  const batch = n => [meta({ schemaHash: String(n) }), ...[1, 2, 3].map(i => text(`${n}.${i}`, `${n}`, "entirety"))]
  await store.replace("a", batch(0))
  await store.flush()
  let isOver = false
  const writing = (async () => {
    for (let n = 1; n <= 200; n++) await store.replace("a", batch(n))
    await store.flush()
    isOver = true
  })()
  while (!isOver) {
    const records = await collect(reader.loadAll("a"))
    equal(records, batch(Number(records[0].meta.schemaHash)))
  }
  await writing
})

contract("tables: two stores in one database do not see each other", async (_, { daemon, open }) => {
  const names = letter => ({ docMeta: `${letter}_meta`, records: `${letter}_records`, storeMeta: `${letter} "store"` })
  const a = await open({ tables: names("a") })
  const b = await open({ tables: names("b") })
  await a.append("doc", meta())
  await a.append("doc", text("a"))
  await b.append("doc", meta({ replicaType: ["other", 1, 0] }))
  await b.append("doc", text("b"))
  equal([await versions(a, "doc"), await versions(b, "doc")], [["a"], ["b"]])
  await a.delete("doc")
  equal([await collect(a.listDocIds()), await collect(b.listDocIds())], [[], ["doc"]])
  await b.flush()
  equal(daemon.sequence("doc", "b_records"), [0, 1])
})

contract("two stores on one file: both write one document, nothing is lost", async (store, { daemon, open }) => {
  const other = await open()
  await store.append("a", meta())
  await store.flush()
  await other.currentMeta("a")
  for (let i = 0; i < 200; i++) {
    store.append("a", text("s", `s${i}`))
    other.append("a", text("o", `o${i}`))
  }
  await Promise.all([store.flush(), other.flush()])
  const all = await versions(store, "a")
  equal(all.length, 400)
  for (const letter of ["s", "o"])
    equal(all.filter(version => version[0] === letter), Array.from({ length: 200 }, (_, i) => `${letter}${i}`))
  equal(daemon.sequence("a"), Array.from({ length: 401 }, (_, i) => i))
})

contract("what another store does to a document is found out", async (store, { open }) => {
  const other = await open()
  await store.append("a", meta())
  await store.flush()
  await other.delete("a")
  await other.append("a", meta({ replicaType: ["other", 1, 0] }))
  await other.flush()
  // By what this store knew it would be refused. It is not.
  await store.append("a", meta({ replicaType: ["other", 1, 5] }))
  equal((await store.currentMeta("a")).replicaType, ["other", 1, 5])
  await refused(store.append("a", meta()), /replicaType mismatch/)
  equal(await store.currentMeta("nothing"), null)
  await other.append("nothing", meta())
  await other.flush()
  await store.append("nothing", text("1"))
  equal(await versions(store, "nothing"), ["1"])
})

/* ---- the object ---- */

contract("close twice is harmless; after it every call rejects clearly", async store => {
  await store.append("a", meta())
  const started = store.loadAll("a")
  await Promise.all([store.close(), store.close()])
  await store.close()
  equal(await collect(started), [meta()])
  for (const attempt of [
    store.append("a", meta()),
    store.replace("a", [meta()]),
    store.delete("a"),
    store.currentMeta("a"),
    collect(store.loadAll("a")),
    collect(store.listDocIds()),
    store.flush(),
  ])
    equal((await refused(attempt, "the store is closed")).code, "closed")
  equal(store.status().state, "closed")
})

contract("calls made after close was called reject, awaited or not", async store => {
  await store.append("a", meta())
  const closing = store.close()
  await refused(store.append("a", text("1")), "the store is closed")
  await closing
})

contract("status tells", async store => {
  const before = store.status()
  equal([before.state, before.layout, before.queued, before.queuedWrites, before.failures], ["ready", 0, 0, 0, 0])
  store.append("a", meta())
  equal(store.status().queuedWrites, 1)
  await store.flush()
  const after = store.status()
  equal([after.queued, after.queuedBytes, after.connects], [0, 0, 1])
})

test("options that make no sense are refused, and say so", async () => {
  for (const [options, message] of [
    [{ settle: "now" }, /settle must be one of sent, done, not now/],
    [{ layout: 3 }, /layout/],
    [{ access: "write" }, /access/],
    [{ durability: "lasting" }, /durability/],
    [{ tables: { meta: "x" } }, /unknown option tables.meta/],
    [{ sockt: "x" }, /unknown option sockt/],
    [{ reconnect: { retries: 3 } }, /unknown option reconnect.retries/],
    [{ reconnect: { maxAttempts: 0 } }, /maxAttempts/],
    [{ onError: true }, /onError must be a function/],
    [{ path: "/" + "x".repeat(200) }, /longer than 107 bytes/],
    [{ name: "\ud800" }, /lone surrogate/],
    [{ name: "x".repeat(5000) }, /longer than hello can hold/],
    [null, /options must be an object/],
  ])
    await refused(createDaemonStore(/** @type {any} */ (options)), /** @type {RegExp} */ (message))
})

test("read-only refuses writes, exclusive keeps writers out", async () => {
  await Daemon.run({}, async (daemon, open) => {
    equal((await refused(open({ access: "read-only" }), /./)).code, "no_such_store")
    const writer = await open({ settle: "done" })
    await writer.append("a", meta())
    equal((await refused(open({ access: "exclusive" }), /./)).code, "store_in_use")
    for (const settle of ["sent", "done"]) {
      const errors = []
      const reader = await open({ access: "read-only", settle, onError: error => errors.push(error.code) })
      equal(await reader.currentMeta("a"), META)
      await reader.append("a", text("1")).catch(error => errors.push(error.code))
      await reader.flush().catch(error => errors.push(`flush ${error.code}`))
      equal(errors, settle === "sent" ? ["read_only", "flush read_only"] : ["read_only"])
      await reader.close()
    }
    await writer.close()
    const only = await open({ access: "exclusive" })
    equal((await refused(open(), /./)).code, "store_in_use")
    await only.append("a", text("1"))
  })
})

test("a store that must not be touched is refused with its reason", async () => {
  await Daemon.run({}, async (daemon, open) => {
    const store = await open({ settle: "done" })
    await store.append("a", meta())
    await store.close()
    const error = await refused(open({ tables: { docMeta: "x", records: "kyneta_store_meta", storeMeta: "y" } }), /./)
    equal([error.code, error.reason], ["incompatible_format", "foreign-table"])
  })
})

await main()
