// reference.mjs FOLDER DATABASE BYTES SECONDS - appends as the reference store does them, 64 in flight from one process.
//
// Its access pattern over better-sqlite3 (installed in FOLDER): each append looks the metadata up, then inserts in a
// transaction of its own, and prepares both statements anew. WAL and synchronous=FULL, so that an append is synced.
// Prints the appends per second as JSON.
import { createRequire } from "node:module"

const [folder, path, bytes, seconds] = process.argv.slice(2)
const Database = createRequire(`${folder}/`)("better-sqlite3")
const db = new Database(path)
const IN_FLIGHT = 64

db.pragma("page_size = 8192")
db.pragma("journal_mode = WAL")
db.pragma("synchronous = FULL")
db.exec(`CREATE TABLE kyneta_doc_meta (doc_id TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;
	 CREATE TABLE kyneta_records (doc_id TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, payload TEXT, blob BLOB,
	 PRIMARY KEY (doc_id, seq)) WITHOUT ROWID`)
db.prepare("INSERT INTO kyneta_doc_meta VALUES (?, ?)").run("bench", JSON.stringify({ replicaType: ["bench", 1, 0] }))

const data = Buffer.alloc(Number(bytes), 1)
const payload = JSON.stringify({ kind: "since", encoding: "binary", version: "1" })
let seq = 0

async function currentMeta(id) {
	const [row] = db.prepare("SELECT data FROM kyneta_doc_meta WHERE doc_id = ?").iterate(id)
	return row === undefined ? null : JSON.parse(row.data)
}

async function append(id) {
	await currentMeta(id)
	db.transaction(() => {
		db.prepare("INSERT INTO kyneta_records (doc_id, seq, kind, payload, blob) VALUES (?, ?, ?, ?, ?)").run(
			id, seq++, "entry", payload, data)
	})()
}

// Appends hold the event loop, so the end is looked for and not waited for.
const start = performance.now()
const end = start + Number(seconds) * 1000
const clients = Array.from({ length: IN_FLIGHT }, async () => {
	while (performance.now() < end) await append("bench")
})
await Promise.all(clients)
console.log(JSON.stringify({ rate: seq / ((performance.now() - start) / 1000) }))
db.close()
