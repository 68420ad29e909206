/*
 * inbox: what comes over one connection, cut into frames.
 *
 * The socket reads into one buffer, again and again, so that nothing is allocated for what a small reply needs. A frame
 * that lies whole in it is read there, and is gone afterwards (Reader.isShared): who keeps a part of it, copies. A
 * frame that does not is gathered in memory of its own, as long as it is, which whoever keeps a part of it may keep.
 */
import { Buffer } from "node:buffer"
import { REPLY_FRAME_MAX } from "./messages.js"
import { Reader } from "./msgpack.js"

const BUFFER_SIZE = 64 * 1024

/** So much memory is taken on the word of a frame's length; more of it only as more has come. */
const TRUSTED_SIZE = 4 * 1024 * 1024

const LENGTH_SIZE = 4

export class Inbox {
  /** @param {(reader: Reader) => boolean} take a frame has come; false: no more of them */
  constructor(take) {
    this.take = take
    /** For the socket to read into. */
    this.buffer = Buffer.allocUnsafeSlow(BUFFER_SIZE)
    this.reader = new Reader(this.buffer, 0, 0)
    this.reader.isShared = true
    this.length = Buffer.alloc(LENGTH_SIZE)
    /** A frame that does not lie whole in the buffer: of its length, or (`frame`) of itself so much has come. */
    this.filled = 0
    this.wanted = 0
    this.frame = /** @type {Buffer | null} */ (null)
  }

  /** So many bytes are in the buffer. False: a frame of an impossible length is among them. */
  receive(size) {
    const { buffer, reader } = this
    for (let at = 0; at < size; ) {
      if (this.filled === 0 && this.frame === null && size - at >= LENGTH_SIZE) {
        const wanted = buffer.readUInt32BE(at)
        if (!isPossible(wanted)) return false
        const end = at + LENGTH_SIZE + wanted
        if (end <= size) {
          reader.at = at + LENGTH_SIZE
          reader.end = end
          at = end
          if (!this.take(reader)) return true
          continue
        }
      }
      if (this.frame === null) at = this.#gatherLength(at, size)
      if (this.frame === null && this.filled === LENGTH_SIZE && !this.#beginFrame()) return false
      if (this.frame === null || at === size) continue
      at = this.#gather(at, size)
      if (this.filled === this.wanted && !this.#endFrame()) return true
    }
    return true
  }

  #gatherLength(at, size) {
    const taken = Math.min(LENGTH_SIZE - this.filled, size - at)
    this.buffer.copy(this.length, this.filled, at, at + taken)
    this.filled += taken
    return at + taken
  }

  #beginFrame() {
    this.wanted = this.length.readUInt32BE(0)
    if (!isPossible(this.wanted)) return false
    this.frame = Buffer.allocUnsafeSlow(Math.min(this.wanted, TRUSTED_SIZE))
    this.filled = 0
    return true
  }

  #gather(at, size) {
    let frame = /** @type {Buffer} */ (this.frame)
    const taken = Math.min(this.wanted - this.filled, size - at)
    if (this.filled + taken > frame.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(this.wanted, frame.length * 2))
      frame.copy(larger, 0, 0, this.filled)
      this.frame = frame = larger
    }
    this.buffer.copy(frame, this.filled, at, at + taken)
    this.filled += taken
    return at + taken
  }

  #endFrame() {
    const frame = /** @type {Buffer} */ (this.frame)
    this.frame = null
    this.filled = 0
    return this.take(new Reader(frame, 0, frame.length))
  }
}

function isPossible(size) {
  return size > 0 && size <= REPLY_FRAME_MAX
}
