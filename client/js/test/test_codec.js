/* The codec against a msgpack written from the specification, and against the library that most people use. */
import { Buffer } from "node:buffer"
import path from "node:path"
import process from "node:process"
import { pathToFileURL } from "node:url"
import { equal, main, ROOT, test } from "./harness.js"
import { frame, pack, unpack } from "./wire.js"
import { Inbox } from "../src/inbox.js"
import { hasEntirety, readRecord, writeRecord } from "../src/messages.js"
import { FrameWriter, Reader, writeId } from "../src/msgpack.js"

const TOOLS = process.env.KYNETA_JS_TOOLS || path.join(ROOT, "build/js-tools")
const library = await import(
  pathToFileURL(path.join(TOOLS, "node_modules/@msgpack/msgpack/dist.esm/index.mjs")).href
)

const TEXTS = ["", "a", "x".repeat(20), "x".repeat(21), "é", "é".repeat(31), "😀".repeat(400), "\u0000\ufeff\u2028", "x".repeat(70000)]
const SIZES = [0, 1, 255, 256, 65535, 65536, 200000]

function written(write) {
  const writer = new FrameWriter()
  writer.begin(2 ** 40 + 3, 1, 3)
  write(writer)
  writer.end()
  const frame = Buffer.from(writer.bytes.subarray(writer.start, writer.at))
  equal(frame.readUInt32BE(), frame.length - 4)
  return frame.subarray(4)
}

function reader(bytes) {
  const buffer = Buffer.from(bytes)
  return new Reader(buffer, 0, buffer.length)
}

const plain = value => (value instanceof Uint8Array ? new Uint8Array(value) : value)

test("what is written is msgpack: texts, bytes, numbers", async () => {
  for (const value of [...TEXTS, ...SIZES.map(size => new Uint8Array(size).fill(size))]) {
    const bytes = written(writer => (typeof value === "string" ? writer.text(value) : writer.binary(value)))
    equal(unpack(bytes), [2 ** 40 + 3, 1, value])
    equal(plain(library.decode(bytes)[2]), value)
  }
  for (const value of [0, 127, 128, 255, 65536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1])
    equal(unpack(written(writer => writer.uint(value)))[2], value)
})

test("frames that outgrow the arena, one after the other", async () => {
  const writer = new FrameWriter()
  const frames = []
  for (let i = 0; i < 300; i++) {
    writer.begin(i + 2, 1, 3 + (i % 3))
    for (let k = 0; k <= i % 3; k++) writer.text("é".repeat((i * 997) % 40000))
    writer.end()
    frames.push([writer.take().bytes, writer.start, writer.at])
    if (i % 7 === 0) {
      writer.begin(1, 1, 3)
      writer.text("x".repeat(1000))
      writer.cancel()
    }
  }
  for (const [i, [bytes, start, end]] of frames.entries()) {
    const message = unpack(bytes.subarray(start + 4, end))
    equal(message, [i + 2, 1, ...Array(1 + (i % 3)).fill("é".repeat((i * 997) % 40000))])
  }
})

test("arenas are used anew when their calls are over, and not before", async () => {
  const writer = new FrameWriter()
  const memory = new Set()
  const open = []
  for (let i = 0; i < 2000; i++) {
    writer.begin(i + 2, 1, 3)
    writer.text("x".repeat(1000 + (i % 100)))
    writer.end()
    open.push([writer.take(), writer.start, writer.at, i])
    memory.add(writer.bytes)
    if (open.length < 150) continue
    const [[arena, start, end, number]] = open.splice((i * 7) % 20, 1)
    equal(unpack(arena.bytes.subarray(start + 4, end)), [number + 2, 1, "x".repeat(1000 + (number % 100))])
    writer.release(arena)
  }
  equal(memory.size < 10, true)
})

test("a frame can be given another id", async () => {
  const frame = Buffer.concat([Buffer.alloc(4), written(writer => writer.text("a"))])
  for (const id of [2, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]) {
    writeId(frame, 0, id)
    equal(unpack(frame.subarray(4)), [id, 1, "a"])
  }
})

test("every form of a value is read, and passed over", async () => {
  const forms = [
    ["uint", 5, ["05", "cc05", "cd0005", "ce00000005", "cf0000000000000005", "d005", "d10005", "d200000005", "d30000000000000005"]],
    ["text", "ab", ["a26162", "d9026162", "da00026162", "db000000026162"]],
    ["binary", new Uint8Array([7]), ["c40107", "c5000107", "c60000000107"]],
    ["array", 0, ["90", "dc0000", "dd00000000"]],
    ["bool", true, ["c3"]],
  ]
  for (const [kind, value, texts] of forms)
    for (const text of texts) {
      const bytes = Buffer.from(text, "hex")
      equal(reader(bytes)[kind](), value)
      const passing = reader(Buffer.concat([bytes, Buffer.from([0xc0])]))
      passing.skip()
      equal(passing.isNil(), true)
    }
  for (const value of [1.5, -1, -1000, -100000, { a: [1, { b: null }], c: "x" }, [[], {}], Array(70000).fill(0), 2 ** 33]) {
    const passing = reader(Buffer.concat([library.encode(value), Buffer.from([0xc0])]))
    passing.skip()
    equal(passing.isNil(), true)
  }
})

test("what is cut off, or of another kind, is a RangeError", async () => {
  const whole = pack([1, "text", new Uint8Array(3), 70000, { a: 1 }, [true, null]])
  for (let end = 0; end < whole.length; end++) {
    let error
    try {
      reader(whole.subarray(0, end)).skip()
    } catch (caught) {
      error = caught
    }
    equal(error instanceof RangeError, true)
  }
  for (const kind of ["uint", "text", "binary", "array", "bool"]) {
    let error
    try {
      reader(Buffer.from("c0", "hex"))[kind]()
    } catch (caught) {
      error = caught
    }
    equal(error instanceof RangeError, true)
  }
})

/** Frames that an inbox finds in what comes in pieces of this size; false if it refuses them. */
function received(bytes, pieceSize, most = Infinity) {
  const messages = []
  const inbox = new Inbox(({ buffer, at, end }) => {
    messages.push(Buffer.from(buffer.subarray(at, end)))
    return messages.length < most
  })
  for (let at = 0; at < bytes.length; at += pieceSize) {
    const piece = bytes.subarray(at, at + Math.min(pieceSize, inbox.buffer.length))
    // What is left of the piece before it is overwritten, as by a socket.
    inbox.buffer.fill(0xc1)
    inbox.buffer.set(piece)
    if (!inbox.receive(piece.length)) return false
  }
  return messages
}

test("frames are found wherever what comes is cut, and whole", async () => {
  const messages = [1, 2, 3, 255, 256, 1000].map(size => Buffer.alloc(size, size))
  const bytes = Buffer.concat(messages.map(frame))
  for (let pieceSize = 1; pieceSize <= bytes.length; pieceSize++) equal(received(bytes, pieceSize), messages)
})

test("frames larger than what is read at once, and than what is taken on their word", async () => {
  const large = Buffer.alloc(9 * 1024 * 1024 + 1)
  for (let i = 0; i + 4 <= large.length; i += 4096) large.writeUInt32BE(i, i)
  const messages = [Buffer.from("a"), large, Buffer.from("b"), large.subarray(0, 65536), Buffer.from("c")]
  for (const pieceSize of [65536, 65521]) equal(received(Buffer.concat(messages.map(frame)), pieceSize), messages)
})

test("after the last frame that is wanted comes none, and lengths that cannot be are refused", async () => {
  const messages = ["a", "b", "c"].map(text => Buffer.from(text))
  equal(received(Buffer.concat(messages.map(frame)), 15, 2), messages.slice(0, 2))
  for (const length of [[0, 0, 0, 0], [0x40, 0, 0, 1], [0x48, 0x54, 0x54, 0x50]]) {
    const bytes = Buffer.concat([frame(messages[0]), Buffer.from([...length, 7])])
    for (let pieceSize = 1; pieceSize <= bytes.length; pieceSize++) equal(received(bytes, pieceSize), false)
  }
})

test("records: both directions, in the forms of both libraries", async () => {
  const entries = []
  for (const data of [...TEXTS, ...SIZES.map(size => new Uint8Array(size).fill(1))])
    for (const lineage of [undefined, "", "l"])
      for (const kind of ["entirety", "since"])
        for (const encoding of ["json", "binary"])
          entries.push({
            kind: "entry",
            payload: { kind, encoding, data, ...(lineage === undefined ? {} : { lineage }) },
            version: "v",
          })
  const records = [{ kind: "meta", meta: { b: 1, a: ["é"] } }, ...entries]
  for (const record of records) {
    const mine = unpack(written(writer => writeRecord(writer, record)))[2]
    for (const bytes of [pack(mine), Buffer.from(library.encode(mine)), pack([...mine, ...(mine.length === 5 ? [null] : []), "more", [1]])])
      if (mine[0] === 1 || bytes[0] === 0x92) equal(readRecord(reader(bytes)), record)
  }
})

test("an entirety is found", async () => {
  const list = kinds => Buffer.concat(kinds.map(kind => (kind === "m" ? pack([0, "{}"]) : pack([1, kind, 0, "v", "data", "l"]))))
  for (const [kinds, found] of /** @type {[any[], boolean][]} */ ([[[], false], [["m"], false], [["m", 1, 1], false], [["m", 1, 0], true], [[0], true]]))
    equal(hasEntirety(reader(list(kinds)), kinds.length), found)
})

await main()
