/* peft_tensors.h - the tensors that an adapter has in PEFT's file; inside lora/ only. One list
 * serves the reader, the writer and the comparison after writing. */
#ifndef LORAC_LORA_PEFT_TENSORS_H
#define LORAC_LORA_PEFT_TENSORS_H

#include "lora/lora.h"

enum lorac_peft_part { LORAC_PEFT_SITE, LORAC_PEFT_FULL };

struct lorac_peft_tensor {
    char name[LORAC_NAME_SIZE];
    enum lorac_peft_part part;
    size_t i;     // of the site, or of the full copy
    size_t k;     // of the site's tensors
    size_t first; // of the floats of a full copy: where the tensor begins
    size_t n_dims, dims[2];
};

struct lorac_peft_tensors {
    struct lorac_peft_tensor *at; // (n) in order of names, as the file has them; lorac_mem_free()
    size_t n;
};

/* All of an adapter's, which may be a mere outline. A tied pair that stays one (LORAC_TIE_KEEP) is
 * stored under both of its names: PEFT asks for both. */
LORAC_MUST_CHECK enum lorac_status lorac_peft_tensors(struct lorac_peft_tensors *out,
                                                      const struct lorac_adapter *a,
                                                      struct lorac_err *err);
/* The one of that name, or NULL. */
const struct lorac_peft_tensor *lorac_peft_tensor_find(const struct lorac_peft_tensors *list,
                                                       const char *name);
size_t lorac_peft_tensor_size(const struct lorac_peft_tensor *t); // numbers
size_t lorac_peft_tensors_largest(const struct lorac_peft_tensors *list);

/* Copy its values, as the file holds them, to and from host memory. */
LORAC_MUST_CHECK enum lorac_status lorac_peft_tensor_read(float *host,
                                                          const struct lorac_adapter *a,
                                                          const struct lorac_peft_tensor *t,
                                                          struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_peft_tensor_write(struct lorac_adapter *a,
                                                           const struct lorac_peft_tensor *t,
                                                           const float *host,
                                                           struct lorac_err *err);

#endif
