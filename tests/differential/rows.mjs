// Stored rows against JSON.stringify and JSON.parse: node rows.mjs ROWS [SEED] [COUNT]. Prints TAP; a failure prints the value.
import { spawnSync } from "node:child_process";

const [program, seed = "1", count = "200000"] = process.argv.slice(2);
const KINDS = ["entirety", "since"], ENCODINGS = ["json", "binary"];
const text = (hex) => (hex === "-" ? undefined : Buffer.from(hex, "hex").toString("utf8"));
const hex = (value) => (value === undefined ? "-" : Buffer.from(value, "utf8").toString("hex"));
const run = (words, input) => {
	const result = spawnSync(program, words, { input, maxBuffer: 1 << 30, encoding: "latin1" });
	if (result.status !== 0) throw new Error(`seed ${seed}: ${result.stderr}`);
	return result.stdout;
};
const payloadOf = (kind, encoding, version, data, lineage) =>
	JSON.stringify({ kind: KINDS[kind], encoding: ENCODINGS[encoding], version, data, lineage });

function written() {
	const lines = run(["write", seed, count]).trimEnd().split("\n");
	for (const line of lines) {
		const [kind, encoding, version, data, lineage, payload] = line.split(" ");
		const wanted = payloadOf(+kind, +encoding, text(version), text(data), text(lineage));
		if (hex(wanted) !== payload) throw new Error(`seed ${seed}: ${text(payload)} is not ${wanted}`);
	}
	return lines.length;
}

// xorshift: the same in every run
let state = (Number(seed) * 2654435761 + 1) >>> 0;
const below = (limit) => {
	state ^= state << 13;
	state ^= state >>> 17;
	state ^= state << 5;
	return (state >>> 0) % limit;
};

// Any UTF-16, lone surrogates too: they come back as U+FFFD, as Buffer writes them.
const LIMITS = [0x20, 0x80, 0x80, 0x800, 0x10000, 0xe000];
const randomText = () => {
	let result = "";
	for (let i = below(30); i > 0; i--)
		result += below(8) === 0 ? '"\\/\b\f\n\r\t\u2028'[below(9)] : String.fromCharCode(below(LIMITS[below(LIMITS.length)]));
	return result;
};

// As JSON.stringify writes it, or with other escapes, white space and order of keys.
function disguised(payload) {
	if (below(2) === 0) return payload;
	const members = Object.entries(JSON.parse(payload)).sort(() => below(3) - 1);
	const escape = (value) =>
		`"${[...Array(value.length).keys()].map((i) => (below(3) === 0 ? "\\u" + value.charCodeAt(i).toString(16).padStart(4, "0") : JSON.stringify(value[i]).slice(1, -1))).join("")}"`;
	return `{${members.map(([key, value]) => ` ${escape(key)} :\t${escape(value)}\n`).join(",")}}`;
}

function read() {
	const lines = [];
	for (let i = 0; i < Number(count); i++) {
		const [kind, encoding] = [below(2), below(2)];
		const [version, data, lineage] = [randomText(), below(4) ? randomText() : undefined, below(2) ? randomText() : undefined];
		const payload = disguised(payloadOf(kind, encoding, version, data, lineage));
		lines.push([kind, encoding, hex(version), hex(data), hex(lineage), hex(payload)].join(" "));
	}
	return Number(run(["read"], lines.join("\n") + "\n"));
}

console.log("1..2");
for (const [name, test] of [["written as JSON.stringify writes them, and as jansson reads them", written], ["read as JSON.parse reads them", read]]) {
	try {
		const found = test();
		if (found !== Number(count)) throw new Error(`only ${found}`);
		console.log(`ok - ${found} random rows are ${name} (seed ${seed})`);
	} catch (error) {
		console.log(`# ${String(error.message).slice(0, 4000).split("\n").join("\n# ")}\nnot ok - random rows are ${name}`);
		process.exitCode = 1;
	}
}
