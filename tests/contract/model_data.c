#include "tests/contract/model_data.h"

#include <string.h>

#include "tests/contract/calls.h"

#define TEXT_200   TEXT_50 TEXT_50 TEXT_50 TEXT_50
#define TEXT_50	   "01234567890123456789012345678901234567890123456789"
#define JSON_BYTES 600

/* ---- documents ---- */

#define ID(text)                                                                                                       \
	{                                                                                                              \
		(const uint8_t *)(text), sizeof(text) - 1                                                              \
	}
#define DOCUMENTS                                                                                                      \
	ID(""), ID("A"), ID("a"), ID("a\0b"), ID("a%"), ID("a_b"), ID("ab"), ID("ab" TEXT_200 "'\""),                  \
	    ID("\xf0\x9f\x98\x80")

const struct span model_documents[MODEL_DOCUMENTS] = {DOCUMENTS};
const struct span model_prefixes[MODEL_PREFIXES] = {DOCUMENTS, ID("a_"), ID("%"), ID("nothing")};

const struct model_store_kind model_store_kinds[MODEL_STORE_KINDS] = {
    {false, {2, 1}, {2, 1}}, {false, {1, 2}, {1, 2}}, {true, {2, 2}, {0, 2}},
    {true, {1, 2}, {0, 2}},  {true, {1, 1}, {1, 1}},  {true, {2, 1}, {2, 1}},
};

/* ---- metadata ---- */

#define MODE(writer, delivery, durability)                                                                             \
	"{\"writerModel\":\"" writer "\",\"delivery\":\"" delivery "\",\"durability\":\"" durability "\"}"
#define MODE_A	   MODE("serialized", "delta-capable", "persistent")
#define MODE_OTHER MODE("concurrent", "delta-capable", "persistent")
#define MODE_SPACED                                                                                                    \
	"{ \"durability\" : \"persistent\", \"delivery\":\"delta-capable\" , \"more\":[1],\"writerModel\":"            \
	"\"serial\\u0069zed\" }"
#define JSON(type, mode) "{\"replicaType\":" type ",\"@\":" mode ",\"schemaHash\":\"h1\"}"

#define GOOD(type, minor, mode, text)                                                                                  \
	{                                                                                                              \
		JSON("[\"" type "," minor "]", text), false, false, false, type, minor, mode, text                     \
	}
#define BAD(json)                                                                                                      \
	{                                                                                                              \
		json, false, true, false, NULL, NULL, NULL, NULL                                                       \
	}

static const struct model_meta metas[MODEL_METAS] = {
    GOOD("plain\",1", "0", "A", MODE_A),
    {"{\"more\":{\"b\":[null]},\"schemaHash\":\"h2\",\"@\":" MODE_A
     ",\"replicaType\":[\"plain\",1,7],\"\":\"\\ud800\"}",
     false, false, false, "plain\",1", "7", "A", MODE_A},
    GOOD("plain\",1", "0", "A", MODE_SPACED),
    GOOD("plain\",2", "0", "A", MODE_A),
    GOOD("yjs\",1", "0", "A", MODE_A),
    GOOD("plain\",1", "0", "B", MODE_OTHER),
    GOOD("plain\",1", "0", "C", MODE("serialized", "snapshot-only", "persistent")),
    GOOD("plain\",1", "0", "D", MODE("serialized", "delta-capable", "transient")),
    GOOD("plain\",2", "3", "B", MODE_OTHER),
    {JSON("[\"plain\",1,0]", MODE_A), true, false, false, "plain\",1", "0", "A", MODE_A},
    {JSON("[\"plain\",1,0]", MODE_OTHER), true, false, false, "plain\",1", "0", "B", MODE_OTHER},
    BAD("{}"),
    BAD("[" JSON("[\"plain\",1,0]", MODE_A) "]"),
    BAD("{\"replicaType\":[\"plain\",1,0]"),
    BAD(JSON("[\"plain\",1]", MODE_A)),
    BAD(JSON("[\"plain\",\"1\",0]", MODE_A)),
    BAD(JSON("[\"plain\",1,0]", "{\"writerModel\":\"serialized\",\"delivery\":\"delta-capable\"}")),
    BAD("{\"replicaType\":[\"plain\",1,0],\"@\":" MODE_A "}"),
    BAD("{\"replicaType\":[\"plain\",1,0],\"syncMode\":" MODE_A ",\"syncProtocol\":" MODE_A ",\"schemaHash\":\"h1\"}"),
    {"{\"\xc0\xaf\":1}", false, false, true, NULL, NULL, NULL, NULL},
};

const struct model_meta *model_meta_of(unsigned code)
{
	return &metas[code];
}

/* @text with the key in place of the @. */
static size_t put_key(char out[JSON_BYTES], const char *text, const char *key)
{
	char *end = out;

	for (; *text != '\0'; text++) {
		if (*text == '@')
			end = stpcpy(end, key);
		else
			*end++ = *text;
	}
	return (size_t)(end - out);
}

static struct kyneta_store_record meta_record(unsigned code, unsigned key)
{
	static char json[3][MODEL_METAS][JSON_BYTES];
	static size_t sizes[3][MODEL_METAS];
	unsigned layout = metas[code].other_key ? 3 - key : key;

	if (sizes[layout][code] == 0)
		sizes[layout][code] =
		    put_key(json[layout][code], metas[code].json, layout == 1 ? "syncProtocol" : "syncMode");
	return meta_of(span_of(json[layout][code], sizes[layout][code]));
}

/* ---- entries ---- */

#define ENTRY(kind, encoding, is_text, version, data)                                                                  \
	{                                                                                                              \
		KYNETA_STORE_ENTRY, NULL, 0, kind, encoding, is_text, false, version, sizeof(version) - 1, data,       \
		    sizeof(data) - 1, NULL, 0                                                                          \
	}
#define LINEAGE(kind, encoding, is_text, version, data, lineage)                                                       \
	{                                                                                                              \
		KYNETA_STORE_ENTRY, NULL, 0, kind, encoding, is_text, true, version, sizeof(version) - 1, data,        \
		    sizeof(data) - 1, lineage, sizeof(lineage) - 1                                                     \
	}

/* Nothing but NUL, which takes six bytes each in a row's JSON. */
static const char long_text[4000], long_bytes[12000];

static const struct kyneta_store_record entries[MODEL_ENTRIES] = {
    ENTRY(KYNETA_STORE_SINCE, KYNETA_STORE_JSON, true, "v", "text"),
    ENTRY(KYNETA_STORE_ENTIRETY, KYNETA_STORE_BINARY, false, "v", "bytes"),
    ENTRY(KYNETA_STORE_SINCE, KYNETA_STORE_BINARY, false, "v", ""),
    ENTRY(KYNETA_STORE_SINCE, KYNETA_STORE_BINARY, true, "v", ""),
    ENTRY(KYNETA_STORE_SINCE, KYNETA_STORE_JSON, false, "v", "text"),
    ENTRY(KYNETA_STORE_ENTIRETY, KYNETA_STORE_BINARY, true, "v", "bytes"),
    ENTRY(KYNETA_STORE_SINCE, KYNETA_STORE_JSON, true, "", "text"),
    ENTRY(KYNETA_STORE_SINCE, KYNETA_STORE_JSON, true, "v\0w", "a\0b"),
    ENTRY(KYNETA_STORE_SINCE, KYNETA_STORE_JSON, true, "\xe2\x80\xa8", "\x1f\x7f\xe2\x80\xa9\xf0\x9f\x98\x80\"\\/\n"),
    ENTRY(KYNETA_STORE_SINCE, KYNETA_STORE_BINARY, false, "v", "\xff\x00\xc0\x80"),
    LINEAGE(KYNETA_STORE_SINCE, KYNETA_STORE_JSON, true, "v", "text", "main"),
    LINEAGE(KYNETA_STORE_SINCE, KYNETA_STORE_JSON, true, "v", "text", ""),
    LINEAGE(KYNETA_STORE_ENTIRETY, KYNETA_STORE_BINARY, false, "v", "bytes", "a\0\xc3\xa9"),
    ENTRY(KYNETA_STORE_SINCE, KYNETA_STORE_JSON, true, "v", long_text),
    ENTRY(KYNETA_STORE_ENTIRETY, KYNETA_STORE_BINARY, false, TEXT_200, long_bytes),
    ENTRY(KYNETA_STORE_SINCE, KYNETA_STORE_JSON, true, "v", "{\"kind\":\"meta\"}"),
    ENTRY(KYNETA_STORE_SINCE, KYNETA_STORE_JSON, true, "v", "\xed\xa0\x80"),
    ENTRY(KYNETA_STORE_SINCE, KYNETA_STORE_JSON, true, "\xff", "text"),
};

/* The last entries are not UTF-8. */
#define NO_TEXTS 2

bool model_is_no_text(unsigned code)
{
	return model_is_meta(code) ? metas[code].is_no_text : code >= MODEL_RECORD_CODES - NO_TEXTS;
}

struct kyneta_store_record model_record(unsigned code, unsigned key)
{
	return model_is_meta(code) ? meta_record(code, key) : entries[code - MODEL_METAS];
}

unsigned model_code_of(const struct kyneta_store_record *record, unsigned key)
{
	for (unsigned code = 0; code < MODEL_RECORD_CODES; code++) {
		struct kyneta_store_record made = model_record(code, key);

		if (records_same(record, &made))
			return code;
	}
	return MODEL_RECORD_NONE;
}
