/* fresh.h - modules that the files lack; see model.h. */
#ifndef LORAC_BASE_FRESH_H
#define LORAC_BASE_FRESH_H

#include "base/model.h"

/* Mark it fresh and draw its weight (l->drawn, the caller's to free). */
LORAC_MUST_CHECK enum lorac_status lorac_module_draw(struct lorac_module *l,
                                                     const struct lorac_config *c, uint64_t seed,
                                                     struct lorac_err *err);

/* Draw i: N(0,1), within the configuration's cutoff where it has one. */
double lorac_draw_normal(const struct lorac_config *c, uint64_t key, size_t i);

#endif
