/*
 * msgpack: the part of it that the protocol speaks, written and read in place.
 *
 * A general library makes of every message an array of arrays, and of every field a value, whether anybody looks at it
 * or not. Here the shape of each message is known: a frame is written straight into an arena, which is also what the
 * socket gets, and a page of records is read one record at a time, when the consumer wants it. The README has numbers.
 *
 * Strings must be whole: a lone surrogate has no UTF-8, and would come back as something else. Bytes come back as plain
 * Uint8Arrays with memory of their own.
 */
import { Buffer } from "node:buffer"
import { CODE, DaemonStoreError } from "./errors.js"

const ARENA_SIZE = 64 * 1024

/** So many arenas are kept to be used anew. */
const ARENAS_KEPT = 8

/** Text this short is written and read by hand: a call into the runtime costs more. */
const SHORT = 20

/** @type {(text: string) => boolean} */
const isWellFormed =
  typeof (/** @type {any} */ (String.prototype).isWellFormed) === "function"
    ? text => /** @type {any} */ (text).isWellFormed()
    : text => !/\p{Surrogate}/u.test(text)

/** Refuses what has no UTF-8, and says which string it is. */
export function requireText(text, what) {
  if (typeof text !== "string")
    throw new DaemonStoreError(CODE.MISUSE, `${what} must be a string, not ${text === null ? "null" : typeof text}`)
  if (!isWellFormed(text))
    throw new DaemonStoreError(
      CODE.MISUSE,
      `${what} has a lone surrogate (half of a character), which cannot be stored as UTF-8`,
    )
}

/** Memory for frames. It is used anew when no call has its frame in it any more. */
class Arena {
  constructor(size) {
    this.bytes = Buffer.allocUnsafeSlow(size)
    this.calls = 0
  }
}

/**
 * Frames, one behind the other, in arenas. What lies in one arena side by side can be sent in one piece.
 *
 * A frame that does not fit into the rest of the arena is moved to another one while it is written.
 */
export class FrameWriter {
  constructor() {
    this.arena = new Arena(ARENA_SIZE)
    this.bytes = this.arena.bytes
    this.start = 0
    this.at = 0
    /** @type {Arena[]} */
    this.free = []
  }

  #room(size) {
    if (this.at + size <= this.bytes.length) return
    const written = this.at - this.start
    const wanted = written + size
    // A frame that goes on growing moves seldom; one large field gets exactly its room.
    const capacity = Math.max(ARENA_SIZE, size < written ? wanted * 2 : wanted)
    const arena = (capacity === ARENA_SIZE ? this.free.pop() : undefined) ?? new Arena(capacity)
    arena.bytes.set(this.bytes.subarray(this.start, this.at), 0)
    this.arena = arena
    this.bytes = arena.bytes
    this.start = 0
    this.at = written
  }

  /** A call has its frame in the arena. */
  take() {
    this.arena.calls++
    return this.arena
  }

  /** The call is answered: what it sent has left this process, and so the memory is free if it was the last. */
  release(arena) {
    arena.calls--
    if (arena.calls === 0 && arena !== this.arena && arena.bytes.length === ARENA_SIZE && this.free.length < ARENAS_KEPT)
      this.free.push(arena)
  }

  /** Begin a request of so many elements, id and op included. */
  begin(id, op, elements) {
    if (this.arena.calls === 0 && this.bytes.length === ARENA_SIZE) this.at = 0
    this.start = this.at
    this.#room(16)
    this.at += 4
    this.bytes[this.at++] = 0x90 | elements
    this.bytes[this.at++] = 0xcf
    writeId(this.bytes, this.start, id)
    this.at += 8
    this.bytes[this.at++] = op
  }

  /** The frame is whole. Returns where it is in `bytes`: from `start` to `at`. */
  end() {
    const size = this.at - this.start - 4
    const bytes = this.bytes
    bytes[this.start] = size >>> 24
    bytes[this.start + 1] = size >>> 16
    bytes[this.start + 2] = size >>> 8
    bytes[this.start + 3] = size
  }

  /** What was begun is not wanted. */
  cancel() {
    this.at = this.start
  }

  nil() {
    this.#room(1)
    this.bytes[this.at++] = 0xc0
  }

  bool(value) {
    this.#room(1)
    this.bytes[this.at++] = value ? 0xc3 : 0xc2
  }

  uint(value) {
    this.#room(9)
    if (value < 0x80) {
      this.bytes[this.at++] = value
    } else {
      this.bytes[this.at++] = 0xcf
      writeUint64(this.bytes, this.at, value)
      this.at += 8
    }
  }

  array(length) {
    this.#room(5)
    if (length < 16) {
      this.bytes[this.at++] = 0x90 | length
    } else {
      this.bytes[this.at++] = 0xdd
      this.at = this.bytes.writeUInt32BE(length, this.at)
    }
  }

  map(length) {
    this.#room(1)
    this.bytes[this.at++] = 0x80 | length
  }

  /** Text that was checked to be whole. */
  text(text) {
    const length = text.length
    if (length <= SHORT) {
      this.#room(1 + length)
      const bytes = this.bytes
      let at = this.at + 1
      let i = 0
      for (; i < length; i++) {
        const unit = text.charCodeAt(i)
        if (unit >= 0x80) break
        bytes[at++] = unit
      }
      if (i === length) {
        bytes[this.at] = 0xa0 | length
        this.at = at
        return
      }
    }
    this.#room(5 + (length < 1024 ? length * 3 : Buffer.byteLength(text)))
    const size = this.bytes.write(text, this.at + 5, "utf8")
    this.bytes[this.at] = 0xdb
    this.bytes.writeUInt32BE(size, this.at + 1)
    this.at += 5 + size
  }

  binary(data) {
    this.#room(5 + data.length)
    this.bytes[this.at] = 0xc6
    this.bytes.writeUInt32BE(data.length, this.at + 1)
    this.bytes.set(data, this.at + 5)
    this.at += 5 + data.length
  }
}

function writeUint64(bytes, at, value) {
  bytes.writeUInt32BE(Math.floor(value / 0x100000000), at)
  bytes.writeUInt32BE(value >>> 0, at + 4)
}

/** Every frame has its id at the same place, with eight bytes: so that it can be given a new one. */
export function writeId(bytes, start, id) {
  writeUint64(bytes, start + 6, id)
}

/** Four characters at a time: each piece of a text that grows is a string that somebody has to collect. */
function shortText(buffer, start, end) {
  let text = ""
  let at = start
  for (; at + 4 <= end; at += 4) {
    const a = buffer[at]
    const b = buffer[at + 1]
    const c = buffer[at + 2]
    const d = buffer[at + 3]
    if ((a | b | c | d) >= 0x80) return buffer.toString("utf8", start, end)
    text += String.fromCharCode(a, b, c, d)
  }
  for (; at < end; at++) {
    if (buffer[at] >= 0x80) return buffer.toString("utf8", start, end)
    text += String.fromCharCode(buffer[at])
  }
  return text
}

/** Reads values one after the other. Throws a RangeError where there is none of the kind asked for. */
export class Reader {
  /**
   * @param {Buffer} buffer
   * @param {number} at
   * @param {number} end
   */
  constructor(buffer, at, end) {
    this.buffer = buffer
    this.at = at
    this.end = end
    /** What is here is gone when the message was read. */
    this.isShared = false
    /** The same memory, not as a Buffer: a Buffer's slices share it. */
    this.bytes = /** @type {Uint8Array | null} */ (null)
  }

  #take(size) {
    const at = this.at
    if (at + size > this.end) throw new RangeError("the message ends in the middle of a value")
    this.at = at + size
    return at
  }

  array() {
    const head = this.buffer[this.#take(1)]
    if (head >= 0x90 && head <= 0x9f) return head & 0x0f
    if (head === 0xdc) return this.buffer.readUInt16BE(this.#take(2))
    if (head === 0xdd) return this.buffer.readUInt32BE(this.#take(4))
    throw new RangeError("no array")
  }

  /** A uint. Beyond 2^53 it is not exact: the protocol's are ids, counts and sizes. */
  uint() {
    const head = this.buffer[this.#take(1)]
    if (head < 0x80) return head
    switch (head) {
      case 0xcc:
      case 0xd0:
        return this.buffer[this.#take(1)]
      case 0xcd:
      case 0xd1:
        return this.buffer.readUInt16BE(this.#take(2))
      case 0xce:
      case 0xd2:
        return this.buffer.readUInt32BE(this.#take(4))
      case 0xcf:
      case 0xd3: {
        const at = this.#take(8)
        return this.buffer.readUInt32BE(at) * 0x100000000 + this.buffer.readUInt32BE(at + 4)
      }
      default:
        throw new RangeError("no uint")
    }
  }

  bool() {
    const head = this.buffer[this.#take(1)]
    if (head !== 0xc2 && head !== 0xc3) throw new RangeError("no bool")
    return head === 0xc3
  }

  /** Passes over a nil, if there is one. */
  isNil() {
    if (this.at >= this.end || this.buffer[this.at] !== 0xc0) return false
    this.at++
    return true
  }

  isText() {
    const head = this.buffer[this.at]
    return (head >= 0xa0 && head <= 0xbf) || (head >= 0xd9 && head <= 0xdb)
  }

  text() {
    const head = this.buffer[this.#take(1)]
    let size
    if (head >= 0xa0 && head <= 0xbf) size = head & 0x1f
    else if (head === 0xd9) size = this.buffer[this.#take(1)]
    else if (head === 0xda) size = this.buffer.readUInt16BE(this.#take(2))
    else if (head === 0xdb) size = this.buffer.readUInt32BE(this.#take(4))
    else throw new RangeError("no str")
    const at = this.#take(size)
    const buffer = this.buffer
    return size <= SHORT ? shortText(buffer, at, at + size) : buffer.toString("utf8", at, at + size)
  }

  #binarySize() {
    const head = this.buffer[this.#take(1)]
    if (head === 0xc4) return this.buffer[this.#take(1)]
    if (head === 0xc5) return this.buffer.readUInt16BE(this.#take(2))
    if (head === 0xc6) return this.buffer.readUInt32BE(this.#take(4))
    throw new RangeError("no bin")
  }

  /** Bytes with memory of their own. */
  binary() {
    const size = this.#binarySize()
    const at = this.#take(size)
    this.bytes ??= new Uint8Array(this.buffer.buffer, this.buffer.byteOffset, this.buffer.byteLength)
    return this.bytes.slice(at, at + size)
  }

  /** Passes over one value of whatever kind. */
  skip() {
    let left = 1
    while (left > 0) {
      left--
      const head = this.buffer[this.#take(1)]
      if (head < 0x80 || head >= 0xe0 || head === 0xc0 || head === 0xc2 || head === 0xc3) continue
      if (head <= 0x8f) left += 2 * (head & 0x0f)
      else if (head <= 0x9f) left += head & 0x0f
      else if (head <= 0xbf) this.#take(head & 0x1f)
      else left += this.#skipLong(head)
    }
  }

  /** The rest of a value with a long head; returns how many values are in it. */
  #skipLong(head) {
    const buffer = this.buffer
    switch (head) {
      case 0xc4:
      case 0xd9:
        this.#take(buffer[this.#take(1)])
        return 0
      case 0xc5:
      case 0xda:
        this.#take(buffer.readUInt16BE(this.#take(2)))
        return 0
      case 0xc6:
      case 0xdb:
        this.#take(buffer.readUInt32BE(this.#take(4)))
        return 0
      case 0xcc:
      case 0xd0:
        this.#take(1)
        return 0
      case 0xcd:
      case 0xd1:
        this.#take(2)
        return 0
      case 0xca:
      case 0xce:
      case 0xd2:
        this.#take(4)
        return 0
      case 0xcb:
      case 0xcf:
      case 0xd3:
        this.#take(8)
        return 0
      case 0xdc:
        return buffer.readUInt16BE(this.#take(2))
      case 0xdd:
        return buffer.readUInt32BE(this.#take(4))
      case 0xde:
        return 2 * buffer.readUInt16BE(this.#take(2))
      case 0xdf:
        return 2 * buffer.readUInt32BE(this.#take(4))
      default:
        throw new RangeError("not a value of the protocol")
    }
  }
}
