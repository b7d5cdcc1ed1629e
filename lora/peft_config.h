/*
 * peft_config.h - PEFT's adapter_config.json; inside lora/ only.
 *
 * Written: the 23 keys that every PEFT since 0.9 knows. Older ones stop at a key they don't know,
 * and a newer key at its default says nothing; ensure_weight_tying (0.18) stands where it is true.
 * Keys sorted, indented by two, no newline at the end, as PEFT writes it.
 *
 * Of a task with a head PEFT adds "classifier" and "score" to modules_to_save by itself, in writing
 * and in reading, whether the file has them or not; so do these functions.
 *
 * Read: every key is either used, or known to have no part in what the tensors mean, or must stand
 * at its default; all else is refused by name.
 */
#ifndef LORAC_LORA_PEFT_CONFIG_H
#define LORAC_LORA_PEFT_CONFIG_H

#include "base/core/json.h"
#include "lora/lora.h"

struct lorac_peft_config {
    struct lorac_adapter_options options; // lists and text borrowed from the fields below
    const char *base_name;                // base_model_name_or_path, or NULL; borrowed
    enum lorac_task task;                 // task_type, or what auto_mapping tells
    bool has_task;                        // it tells one
    struct lorac_json root;               // owned
    const char **names;                   // of modules: the lists of the options; owned
    size_t *layers;                       // owned
    struct lorac_override *overrides;     // rank_pattern's, then alpha_pattern's; owned
    bool idle_patterns;                   // patterns that fit no adapted module are no failure
};

/* Read n bytes of JSON; `file` is what messages call it and must outlive the config. */
LORAC_MUST_CHECK enum lorac_status lorac_peft_config_parse(struct lorac_peft_config *out,
                                                           const char *text, size_t n,
                                                           const char *file, struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_peft_config_load(struct lorac_peft_config *out,
                                                          const char *path, struct lorac_err *err);
void lorac_peft_config_free(struct lorac_peft_config *c); // zeroed is accepted

/* Modules, ranks and alphas that the config gives a model, and what trains in full. Names in lists
 * and patterns that match nothing are PEFT's custom and no error here: the caller compares the
 * result with the tensors. */
LORAC_MUST_CHECK enum lorac_status lorac_peft_config_match(struct lorac_match *out, // (n_modules)
                                                           const struct lorac_peft_config *c,
                                                           const struct lorac_model *m,
                                                           struct lorac_err *err);

/* What PEFT calls the task of a model; NULL: it has no word for it. */
const char *lorac_peft_task_type(const struct lorac_config *c);
/* The names that it adds for one with a head; NULL after the last. */
extern const char *const lorac_peft_heads[];

/* Append the config of an adapter. base_name NULL: null. */
LORAC_MUST_CHECK enum lorac_status lorac_peft_config_text(struct lorac_buf *out,
                                                          const struct lorac_adapter *a,
                                                          const char *base_name,
                                                          struct lorac_err *err);

#endif
