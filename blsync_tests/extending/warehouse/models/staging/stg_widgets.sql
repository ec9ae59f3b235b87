{{ latest_of(ref('hist_widgets')) }}
