/*
 * hub.h - where a model or an adapter lies: in a folder, or in the local cache of the Hugging Face
 * Hub.
 *
 *   CACHE/models--OWNER--NAME/refs/main                  the commit that "main" was when it was
 *                                                        downloaded
 *                             snapshots/COMMIT/...       a folder as any other, of links to
 *                             blobs/...                  the files, by their hashes; *.incomplete
 *                                                        ones, too
 *
 * CACHE is HF_HUB_CACHE, else HUGGINGFACE_HUB_CACHE, else HF_HOME/hub, else
 * XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub (huggingface_hub, constants.py).
 * Nothing here uses the network.
 */
#ifndef LORAC_BASE_HUB_H
#define LORAC_BASE_HUB_H

#include "base/core/err.h"
#include <stdbool.h>

LORAC_API_BEGIN

/* The folder to open, a new string (lorac_mem_free). `path`: as files see it; a folder wins over
 * everything, one of the cache stands for its snapshot (that of refs/main, or the only one). Where
 * there is no such folder, `given`, the name as it was written (NULL: path), may be a Hub id,
 * OWNER/NAME, or its address, that is in the cache. LORAC_EUSER: none of these; the message begins
 * with `path` and says how to download it. */
LORAC_MUST_CHECK enum lorac_status lorac_hub_find(char **out, const char *path, const char *given,
                                                  struct lorac_err *err);

/* The Hub's name of a snapshot in a cache, "OWNER/NAME"; false where `dir` is no such folder. */
enum { LORAC_HUB_ID = 128 };
bool lorac_hub_id(char id[LORAC_HUB_ID], const char *dir);

/* Behind a failure to open `dir`: where its download was not finished, that, and the command that
 * goes on. */
void lorac_hub_explain(const char *dir, struct lorac_err *err);

LORAC_API_END

#endif
