"""From a text to pre-training instances, bit-equal to the reference's."""
