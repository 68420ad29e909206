/*
 * wire: a daemon that the test plays, and a msgpack of its own: written from the specification, not from the client.
 */
import fs from "node:fs"
import net from "node:net"
import os from "node:os"
import path from "node:path"

export const DRAINING_EVENT = [0, 1]

/* ---- msgpack ---- */

/** As compact as it can be written; bigint for a uint of eight bytes. */
export function pack(value) {
  const head = (...bytes) => Buffer.from(bytes)
  const sized = (at8, at16, at32, size) => {
    if (size < 0x100 && at8 !== undefined) return head(at8, size)
    if (size < 0x10000) return head(at16, size >> 8, size & 255)
    const bytes = Buffer.alloc(5)
    bytes[0] = at32
    bytes.writeUInt32BE(size, 1)
    return bytes
  }
  if (value === null || value === undefined) return head(0xc0)
  if (typeof value === "boolean") return head(value ? 0xc3 : 0xc2)
  if (typeof value === "bigint") {
    const bytes = Buffer.alloc(9)
    bytes[0] = 0xcf
    bytes.writeBigUInt64BE(value, 1)
    return bytes
  }
  if (typeof value === "number") {
    if (value < 0x80) return head(value)
    if (value < 2 ** 32) return sized(0xcc, 0xcd, 0xce, value)
    return pack(BigInt(value))
  }
  if (typeof value === "string") {
    const bytes = Buffer.from(value)
    return Buffer.concat([bytes.length < 32 ? head(0xa0 | bytes.length) : sized(0xd9, 0xda, 0xdb, bytes.length), bytes])
  }
  if (value instanceof Uint8Array) return Buffer.concat([sized(0xc4, 0xc5, 0xc6, value.length), value])
  if (Array.isArray(value))
    return Buffer.concat([
      value.length < 16 ? head(0x90 | value.length) : sized(undefined, 0xdc, 0xdd, value.length),
      ...value.map(pack),
    ])
  const pairs = Object.entries(value)
  return Buffer.concat([head(0x80 | pairs.length), ...pairs.flatMap(([key, each]) => [pack(key), pack(each)])])
}

export function unpack(bytes) {
  let at = 0
  const uint = size => {
    at += size
    return size === 8 ? Number(bytes.readBigUInt64BE(at - 8)) : bytes.readUIntBE(at - size, size)
  }
  const take = size => bytes.subarray(at, (at += size))
  const many = (count, one) => Array.from({ length: count }, one)
  const pairs = count => Object.fromEntries(many(count, () => [value(), value()]))
  const value = () => {
    const head = bytes[at++]
    if (head < 0x80) return head
    if (head < 0x90) return pairs(head & 15)
    if (head < 0xa0) return many(head & 15, value)
    if (head < 0xc0) return take(head & 31).toString()
    switch (head) {
      case 0xc0:
        return null
      case 0xc2:
        return false
      case 0xc3:
        return true
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return new Uint8Array(take(uint(1 << (head - 0xc4))))
      case 0xcc:
      case 0xcd:
      case 0xce:
      case 0xcf:
        return uint(1 << (head - 0xcc))
      case 0xd9:
      case 0xda:
      case 0xdb:
        return take(uint(1 << (head - 0xd9))).toString()
      case 0xdc:
      case 0xdd:
        return many(uint(2 << (head - 0xdc)), value)
      default:
        throw new Error(`head ${head.toString(16)}`)
    }
  }
  const whole = value()
  if (at !== bytes.length) throw new Error("bytes left over")
  return whole
}

export function frame(message) {
  const body = Buffer.isBuffer(message) ? message : pack(message)
  const head = Buffer.alloc(4)
  head.writeUInt32BE(body.length)
  return Buffer.concat([head, body])
}

/* ---- the daemon ---- */

/** One connection to it. */
class Connection {
  constructor(socket) {
    this.socket = socket
    this.bytes = Buffer.alloc(0)
    /** Frames in each piece that came. */
    this.pieces = []
    this.requests = []
    this.waiting = []
    this.isOver = false
    this.over = new Promise(resolve => {
      socket.on("close", () => {
        this.isOver = true
        for (const { reject } of this.waiting.splice(0)) reject(new Error("the client has closed the connection"))
        resolve(undefined)
      })
    })
    socket.on("error", () => undefined)
    socket.on("data", data => this.#receive(data))
  }

  #receive(data) {
    this.bytes = Buffer.concat([this.bytes, data])
    let count = 0
    while (this.bytes.length >= 4) {
      const size = this.bytes.readUInt32BE()
      if (this.bytes.length < 4 + size) break
      const request = unpack(this.bytes.subarray(4, 4 + size))
      this.bytes = this.bytes.subarray(4 + size)
      count++
      const waiter = this.waiting.shift()
      if (waiter === undefined) this.requests.push(request)
      else waiter.resolve(request)
    }
    if (count > 0) this.pieces.push(count)
  }

  /** The next request: [id, op, argument…]. */
  next() {
    const request = this.requests.shift()
    if (request !== undefined) return Promise.resolve(request)
    if (this.isOver) return Promise.reject(new Error("the client has closed the connection"))
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }))
  }

  async take(count) {
    const taken = []
    for (let i = 0; i < count; i++) taken.push(await this.next())
    return taken
  }

  send(...messages) {
    this.socket.write(Buffer.concat(messages.map(frame)))
  }

  /** Answer hello; returns it. */
  async hello({ layout = 2, through = 0, frames = 1 << 26, inFlight = 1024 } = {}) {
    const hello = await this.next()
    this.send([1, 0, 1, "played", layout, through, frames, inFlight, 1 << 20])
    return hello
  }

  /** Break it. */
  async cut() {
    this.socket.destroy()
    await this.over
  }
}

export class PlayedDaemon {
  static async run(use) {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), "kyneta-js-"))
    const played = new PlayedDaemon(path.join(directory, "socket"))
    await played.listen()
    try {
      await use(played)
    } finally {
      await played.end()
      fs.rmSync(directory, { recursive: true, force: true })
    }
  }

  constructor(socket) {
    this.socket = socket
    this.connections = []
    this.waiting = []
    this.all = new Set()
  }

  listen() {
    this.server = net.createServer(socket => {
      const connection = new Connection(socket)
      this.all.add(connection)
      const waiter = this.waiting.shift()
      if (waiter === undefined) this.connections.push(connection)
      else waiter(connection)
    })
    return new Promise(resolve => this.server.listen(this.socket, () => resolve(undefined)))
  }

  /** The next connection that a client makes. */
  accept() {
    const connection = this.connections.shift()
    if (connection !== undefined) return Promise.resolve(connection)
    return new Promise(resolve => this.waiting.push(resolve))
  }

  async end() {
    this.server.close()
    for (const connection of this.all) connection.socket.destroy()
  }
}
