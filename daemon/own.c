/* own: the keys and numbers of the daemon's own rows (store.h). */
#include "daemon/store.h"

uint64_t own_number(struct span value)
{
	uint64_t number = 0;

	if (value.size != 8)
		return 0;
	for (size_t i = 0; i < 8; i++)
		number = number << 8 | value.data[i];
	return number;
}

void own_number_put(struct buffer *out, uint64_t number)
{
	uint8_t bytes[8];

	for (int i = 7; i >= 0; i--, number >>= 8)
		bytes[i] = (uint8_t)number;
	buffer_append(out, bytes, sizeof(bytes));
}

void own_key_generation(struct buffer *key, const struct engine_tables *tables, struct span document)
{
	buffer_reset(key);
	buffer_append_byte(key, 'g');
	buffer_append(key, tables->key, strlen(tables->key) + 1);
	buffer_append(key, document.data, document.size);
}

void own_key_session(struct buffer *key, const char *store_key, const uint8_t session[SESSION_SIZE])
{
	buffer_reset(key);
	buffer_append_byte(key, 's');
	buffer_append(key, session, SESSION_SIZE);
	buffer_append(key, store_key, strlen(store_key));
}

void own_key_usage(struct buffer *key, const char *store_key)
{
	buffer_reset(key);
	buffer_append_byte(key, 'u');
	buffer_append(key, store_key, strlen(store_key));
}

void own_key_pairing(struct buffer *key, const char *store_key)
{
	buffer_reset(key);
	buffer_append_byte(key, 'p');
	buffer_append(key, store_key, strlen(store_key));
}

void own_key_claim(struct buffer *key, const char *store_key)
{
	buffer_reset(key);
	buffer_append_byte(key, 'x');
	buffer_append(key, store_key, strlen(store_key));
}
