/*
 * meta: one pass over the members, each known key taken the last time it comes, as JSON.parse does.
 */
#include "protocol/meta.h"

#include <inttypes.h>
#include <stdio.h>

const char *meta_key(enum layout layout)
{
	return layout == LAYOUT_1 ? "syncProtocol" : "syncMode";
}

/* The members that matter; a text of size 0 is a member that is not there. */
struct members {
	struct json_value replica_type, sync_mode, sync_protocol, schema_hash;
};

static struct members find_members(struct json_value object)
{
	struct json_iterator iterator = json_iterate(object);
	struct json_value key, value;
	struct members members;

	memset(&members, 0, sizeof(members));
	while (json_next_member(&iterator, &key, &value)) {
		if (json_string_is(key, "replicaType"))
			members.replica_type = value;
		else if (json_string_is(key, "syncMode"))
			members.sync_mode = value;
		else if (json_string_is(key, "syncProtocol"))
			members.sync_protocol = value;
		else if (json_string_is(key, "schemaHash"))
			members.schema_hash = value;
	}
	return members;
}

static bool is_there(struct json_value value)
{
	return value.text.size > 0;
}

/* [name, major, minor] */
static bool read_replica_type(struct json_value value, struct meta *meta)
{
	struct json_iterator iterator = json_iterate(value);
	struct json_value element;

	if (!is_there(value) || value.type != JSON_ARRAY)
		return false;
	if (!json_next_element(&iterator, &meta->replica_name) || meta->replica_name.type != JSON_STRING)
		return false;
	if (!json_next_element(&iterator, &element) || !json_integer(element, &meta->replica_major))
		return false;
	if (!json_next_element(&iterator, &element) || !json_integer(element, &meta->replica_minor))
		return false;
	return !json_next_element(&iterator, &element);
}

static bool read_sync_mode(struct json_value value, struct meta *meta)
{
	meta->sync_mode = value;
	return json_member(value, "writerModel", &meta->writer_model) && meta->writer_model.type == JSON_STRING &&
	       json_member(value, "delivery", &meta->delivery) && meta->delivery.type == JSON_STRING &&
	       json_member(value, "durability", &meta->durability) && meta->durability.type == JSON_STRING;
}

static const char *read_members(const struct members *members, struct meta *meta)
{
	bool mode = is_there(members->sync_mode), protocol = is_there(members->sync_protocol);

	if (!read_replica_type(members->replica_type, meta))
		return "replicaType is not [string, integer, integer]";
	if (mode && protocol)
		return "both syncMode and syncProtocol";
	if (!mode && !protocol)
		return "neither syncMode nor syncProtocol";
	meta->layout = mode ? LAYOUT_2 : LAYOUT_1;
	if (!read_sync_mode(mode ? members->sync_mode : members->sync_protocol, meta))
		return mode ? "syncMode is not an object with the strings writerModel, delivery and durability"
			    : "syncProtocol is not an object with the strings writerModel, delivery and durability";
	if (!is_there(members->schema_hash) || members->schema_hash.type != JSON_STRING)
		return "schemaHash is not a string";
	return NULL;
}

int meta_read(struct span text, struct meta *meta, const char **reason)
{
	struct json_value root;
	struct members members;

	memset(meta, 0, sizeof(*meta));
	meta->text = text;
	if (!json_check(text, JSON_DEPTH_MAX)) {
		*reason = "not JSON, or nested deeper than 512";
		return -1;
	}
	root = json_root(text);
	if (root.type != JSON_OBJECT) {
		*reason = "not a JSON object";
		return -1;
	}
	members = find_members(root);
	*reason = read_members(&members, meta);
	return *reason == NULL ? 0 : -1;
}

enum meta_difference meta_compare(const struct meta *existing, const struct meta *incoming)
{
	if (!json_string_equal(existing->replica_name, incoming->replica_name) ||
	    existing->replica_major != incoming->replica_major)
		return META_REPLICA_TYPE;
	if (!json_string_equal(existing->writer_model, incoming->writer_model) ||
	    !json_string_equal(existing->delivery, incoming->delivery) ||
	    !json_string_equal(existing->durability, incoming->durability))
		return META_SYNC_MODE;
	return META_SAME;
}

static void append_string(struct buffer *out, const char *text)
{
	buffer_append(out, text, strlen(text));
}

/* What the contract shows of a meta: [name,major,minor], or the object as it is stored. */
static void append_side(struct buffer *out, enum meta_difference difference, const struct meta *meta)
{
	char numbers[64];

	if (difference == META_SYNC_MODE) {
		buffer_append(out, meta->sync_mode.text.data, meta->sync_mode.text.size);
		return;
	}
	append_string(out, "[");
	json_string_decode(meta->replica_name, out);
	snprintf(numbers, sizeof(numbers), ",%" PRId64 ",%" PRId64 "]", meta->replica_major, meta->replica_minor);
	append_string(out, numbers);
}

void meta_mismatch_text(struct buffer *out, enum meta_difference difference, const struct meta *existing,
			const struct meta *incoming, bool within_batch, enum layout layout)
{
	append_string(out, "Store: ");
	append_string(out, difference == META_SYNC_MODE ? meta_key(layout) : "replicaType");
	append_string(out, within_batch ? " mismatch within batch — " : " mismatch for document — existing ");
	append_side(out, difference, existing);
	append_string(out, within_batch ? " vs " : " vs incoming ");
	append_side(out, difference, incoming);
}
