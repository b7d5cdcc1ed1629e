/* nearest.h - "did you mean": the module names of a model that are closest to a mistyped one. */
#ifndef LORAC_LORA_NEAREST_H
#define LORAC_LORA_NEAREST_H

#include "base/model.h"

/* Write up to five names, "q_proj, k_proj, v_proj", nearest first (lorac_distance(); ties in
 * the model's order) of its linear layers, or of all modules. `text` is compared with as many last
 * components of each name as it has itself. */
void lorac_nearest_modules(char *out, size_t size, const struct lorac_model *m, bool all,
                           const char *text);

#endif
