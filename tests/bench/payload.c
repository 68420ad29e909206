#include "tests/bench/payload.h"

#include "protocol/json.h"

static void put(struct buffer *out, const char *text)
{
	buffer_append(out, text, strlen(text));
}

void payload_write(struct buffer *out, const struct kyneta_store_record *record)
{
	if (record->type == KYNETA_STORE_META) {
		buffer_append(out, record->meta, record->meta_size);
		return;
	}
	put(out, record->kind == KYNETA_STORE_ENTIRETY ? "{\"kind\":\"entirety\"" : "{\"kind\":\"since\"");
	put(out, record->encoding == KYNETA_STORE_JSON ? ",\"encoding\":\"json\"" : ",\"encoding\":\"binary\"");
	put(out, ",\"version\":");
	json_escape(out, span_of(record->version, record->version_size));
	if (record->data_is_text) {
		put(out, ",\"data\":");
		json_escape(out, span_of(record->data, record->data_size));
	}
	if (record->has_lineage) {
		put(out, ",\"lineage\":");
		json_escape(out, span_of(record->lineage, record->lineage_size));
	}
	put(out, "}");
}
