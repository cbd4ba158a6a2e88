"""One turn of an objective, as the loop takes it."""


def gradients_of(turn, model, batch):
    """What the loop does in a turn, up to the optimiser: only the turn's module requires gradients."""
    model.requires_grad_(False)
    turn.module.requires_grad_(True)
    for parameter in model.parameters():
        parameter.grad = None
    terms = turn.step_losses(batch)
    (terms.loss.sum() / batch.global_size).backward()
    return terms, {name: parameter.grad for name, parameter in model.named_parameters()}
