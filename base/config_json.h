/* config_json.h - config.h's reader: from the root of a config.json. */
#ifndef LORAC_BASE_CONFIG_JSON_H
#define LORAC_BASE_CONFIG_JSON_H

#include "base/config.h"
#include "base/core/json.h"

/* Fill `out` from the root of a config.json. The architecture decides which row of the table reads
 * it. */
LORAC_MUST_CHECK enum lorac_status lorac_config_read(struct lorac_config *out,
                                                     const struct lorac_json *root,
                                                     struct lorac_err *err);
/* What the architecture of this config.json calls what llama calls `key` ("n_embd" for
 * "hidden_size"); NULL: it has nothing like it. Borrowed. */
LORAC_MUST_CHECK enum lorac_status lorac_config_key(const char **out, const struct lorac_json *root,
                                                    const char *key, struct lorac_err *err);

#endif
