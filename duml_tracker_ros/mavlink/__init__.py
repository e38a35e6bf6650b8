"""The MAVLink bridge: the tracker as a camera component for ground stations and autopilots.

`bridge` is the ROS node. `transport` carries bytes, `codec` makes messages of them and signs,
`peers` knows who listens. `camera` is the component: it answers `commands`, tells what `tracking`
knows, and steers through `gimbal`; `geo` says where on earth the target is. All but the ROS node
runs on one asyncio thread. Nothing here imports torch.
"""
