/* card.h - inside lora/: how to ask what was trained, for the README of an adapter or a merged
 * model. */
#ifndef LORAC_LORA_CARD_H
#define LORAC_LORA_CARD_H

#include "base/core/buf.h"
#include "lora/lora.h"

/* Append the template that `json` (lorac_adapter.template_json, or NULL: nothing is appended)
 * holds, its labels, and the lines that ask, for lorac and in Python, from inside the folder.
 * `base`: the base's name, or NULL. A merged model has no base, and fills no template by itself.
 * `c`: of the model that was trained. */
LORAC_MUST_CHECK enum lorac_status lorac_card_usage(struct lorac_buf *b, const char *json,
                                                    const char *base, bool merged,
                                                    const struct lorac_config *c,
                                                    struct lorac_err *err);
/* Write lorac.md into a merged model's folder, where its adapters have one template. README.md
 * stays the base's. */
LORAC_MUST_CHECK enum lorac_status lorac_card_merged(const char *dir, const struct lorac_stack *s,
                                                     struct lorac_err *err);

#endif
