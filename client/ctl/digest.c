#include "client/ctl/digest.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

struct digest {
	EVP_MD_CTX *all;
	EVP_MD_CTX *one; /* of a single field, used again and again */
};

struct digest *digest_new(void)
{
	struct digest *digest = calloc(1, sizeof(*digest));

	if (digest == NULL)
		return NULL;
	digest->all = EVP_MD_CTX_new();
	digest->one = EVP_MD_CTX_new();
	if (digest->all == NULL || digest->one == NULL || EVP_DigestInit_ex(digest->all, EVP_sha256(), NULL) != 1) {
		digest_free(digest);
		return NULL;
	}
	return digest;
}

void digest_free(struct digest *digest)
{
	if (digest == NULL)
		return;
	EVP_MD_CTX_free(digest->all);
	EVP_MD_CTX_free(digest->one);
	free(digest);
}

static bool finish_hex(EVP_MD_CTX *context, char hex[DIGEST_HEX_SIZE + 1])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t bytes[EVP_MAX_MD_SIZE];

	if (EVP_DigestFinal_ex(context, bytes, NULL) != 1)
		return false;
	for (size_t i = 0; i < DIGEST_HEX_SIZE / 2; i++) {
		hex[2 * i] = digits[bytes[i] >> 4];
		hex[2 * i + 1] = digits[bytes[i] & 15];
	}
	hex[DIGEST_HEX_SIZE] = '\0';
	return true;
}

static bool hash_field(struct digest *digest, const void *data, size_t size, char hex[DIGEST_HEX_SIZE + 1])
{
	return EVP_DigestInit_ex(digest->one, EVP_sha256(), NULL) == 1 &&
	       EVP_DigestUpdate(digest->one, data, size) == 1 && finish_hex(digest->one, hex);
}

bool digest_add(struct digest *digest, const struct kyneta_store_record *record)
{
	char version[DIGEST_HEX_SIZE + 1], lineage[DIGEST_HEX_SIZE + 1] = "-", data[DIGEST_HEX_SIZE + 1];
	char line[4 * DIGEST_HEX_SIZE];
	int size;

	if (record->type == KYNETA_STORE_META) {
		if (!hash_field(digest, record->meta, record->meta_size, data))
			return false;
		size = snprintf(line, sizeof(line), "meta|%s\n", data);
	} else {
		if (!hash_field(digest, record->version, record->version_size, version) ||
		    !hash_field(digest, record->data, record->data_size, data) ||
		    (record->has_lineage && !hash_field(digest, record->lineage, record->lineage_size, lineage)))
			return false;
		size = snprintf(line, sizeof(line), "entry|%s|%s|%s|%s|%s|%s\n",
				record->kind == KYNETA_STORE_SINCE ? "since" : "entirety",
				record->encoding == KYNETA_STORE_BINARY ? "binary" : "json", version, lineage,
				record->data_is_text ? "s" : "b", data);
	}
	return EVP_DigestUpdate(digest->all, line, (size_t)size) == 1;
}

bool digest_finish(struct digest *digest, char hex[DIGEST_HEX_SIZE + 1])
{
	return finish_hex(digest->all, hex);
}
