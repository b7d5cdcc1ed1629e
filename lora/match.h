/* match.h - module matching with the wording and strictness of its caller; inside lora/ only. */
#ifndef LORAC_LORA_MATCH_H
#define LORAC_LORA_MATCH_H

#include "lora/lora.h"

/* How failures read, and whether a name that matches nothing is one. A recipe is what a person wants: all of
 * it must be found. A PEFT file lists names for many kinds of models, and what its tensors are is
 * compared with the result anyway. */
struct lorac_match_words {
    const char *targets, *exclude, *layers, *overrides; // the places
    bool strict;
    enum lorac_status code; // of failures
};

LORAC_MUST_CHECK enum lorac_status lorac_match_as(struct lorac_match *out, // (n_linear)
                                                  const struct lorac_model *m,
                                                  const struct lorac_adapter_options *o,
                                                  const struct lorac_match_words *words,
                                                  struct lorac_err *err);

#endif
