/*
 * start.h - pairs that start as a part of their weight: PiSSA and OLoRA (factor.h).
 *
 *   y = x (W - s B0 A0)^T + s x A^T B^T                  as PEFT has it: another base
 *     = x W^T + s x (B A - B0 A0)^T                      the same on the base as it is
 *       B A - B0 A0 = B' A'     A' = [A0; A - A0]  (2r,C)     B' = [B - B0, B]  (OC,2r)
 *
 * So a plain pair of rank R = 2r runs, is saved and merged, for which none of this is anything; its
 * product is zero to the bit before the first step, and small numbers stay small where PEFT's
 * [A; A0], [B, -B0] takes the difference of large ones. What trains is A and B: they lie in the
 * parameter block with their rank r, as those of any pair; A' and B' are made of them after each
 * step, and before it their gradients are those of A' and B':
 *
 *   dA = dA'[r..2r)        dB = dB'[..,0..r) + dB'[..,r..2r)
 *
 * Dropout is that of a plain pair: it drops x for B' A', so not for the part that W keeps. (PEFT's
 * drops it for B A alone, by which even the first step's base is disturbed; the paper trains
 * without.) Memory, in floats for each of what trains: 5 more.
 */
#ifndef LORAC_LORA_START_H
#define LORAC_LORA_START_H

#include "lora/lora.h"

struct lorac_start {
    size_t n;          // floats of all A and B^T of rank r
    float *values;     // (n) A0 and B0^T, laid out as in the parameter block; device memory
    float *pairs;      // (2n) A' and B'^T of each site in turn; device memory
    float *pair_grads; // (2n) their gradients; NULL where it doesn't train
};

/* Floats of all A and B^T that start as a part of their weight; 0: there are none. */
size_t lorac_start_size(const struct lorac_adapter *a);
/* Memory for them; nothing where there are none. */
LORAC_MUST_CHECK enum lorac_status lorac_start_alloc(struct lorac_adapter *a,
                                                     struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_start_reserve(struct lorac_adapter *a,
                                                       struct lorac_err *err);
void lorac_start_free(struct lorac_adapter *a);
/* Where A', B'^T and their gradients lie, into the sites. */
void lorac_start_place(struct lorac_adapter *a);
/* A and B^T of all sites from their weights. */
LORAC_MUST_CHECK enum lorac_status lorac_start_fill(struct lorac_adapter *a,
                                                    const struct lorac_adapter_options *o,
                                                    struct lorac_err *err);
/* Gradients of A and B from those of A' and B'. */
void lorac_start_gather(struct lorac_adapter *a);
/* Is A what it was, and B? */
bool lorac_start_unmoved(const struct lorac_adapter *a, const struct lorac_site *l);
/* Parameters or starting values were written: make the pairs that run of them. */
void lorac_start_refresh(struct lorac_adapter *a);

#endif
