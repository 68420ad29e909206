/* What a caller writes, compiled as C11 and as C++11: the header must do in both. Never linked. */
#include <kyneta/store.h>

static bool each(void *context, const struct kyneta_store_record *record)
{
	(void)context;
	return record->type == KYNETA_STORE_META;
}

int main(void)
{
	struct kyneta_store_options options = KYNETA_STORE_OPTIONS_INIT;
	struct kyneta_store_write write = KYNETA_STORE_WRITE_INIT;
	struct kyneta_store_error error;
	kyneta_store *store;

	options.path = "/tmp/s";
	options.access = KYNETA_STORE_READ_ONLY;
	write.durability = KYNETA_STORE_SYNCED;
	if (kyneta_store_open(&options, &store, &error) != KYNETA_STORE_OK)
		return 1;
	kyneta_store_delete(store, "", 0, &write, NULL, &error);
	kyneta_store_load_all(store, "", 0, each, NULL, NULL, &error);
	kyneta_store_free(store);
	return 0;
}
