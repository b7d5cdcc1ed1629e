/* optim_adamw.c - AdamW (Loshchilov & Hutter 2019): decay apart from the gradient, as PyTorch's. */
#include "lora/optim_impl.h"

#include <math.h>

static void adamw(struct lorac_optim *o, size_t first, size_t n, double g_scale, double lr,
                  double wd)
{
    struct lorac_device *dev = o->a->model->dev;
    double t = (double)o->steps + 1.0;
    dev->ops->adamw(dev, o->a->params + first, lorac_optim_block(o, 0) + first,
                    lorac_optim_block(o, 1) + first, o->a->grads + first, n, g_scale, lr,
                    o->o.beta1, o->o.beta2, o->o.eps, wd, 1.0 - pow(o->o.beta1, t),
                    1.0 - pow(o->o.beta2, t));
}

const struct lorac_optimiser lorac_adamw = {"adamw", 2, {"m", "v"}, {"betas", "eps"}, adamw};
