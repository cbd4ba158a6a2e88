"""The state of a run: its optimiser is torch's Adam."""

import torch
from torch import nn

from genlib.training.state import EagerAdam


def test_adam_without_the_compiler_is_torchs_adam_bit_for_bit():
    def trained(kind):
        torch.manual_seed(0)
        net, x = nn.Linear(5, 3), torch.randn(7, 5)
        optimizer = kind(net.parameters(), lr=0.1, betas=(0.5, 0.9), fused=True)
        for _ in range(3):
            optimizer.zero_grad()
            net(x).square().sum().backward()
            optimizer.step()
        again = kind(net.parameters(), lr=0.1, betas=(0.5, 0.9), fused=True)
        again.load_state_dict(optimizer.state_dict())
        again.step()
        return [*net.parameters(), *(slot for each in again.state.values() for slot in each.values())]

    assert all(map(torch.equal, trained(EagerAdam), trained(torch.optim.Adam)))
