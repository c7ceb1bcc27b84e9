defp deps do
  [{:own, path: "own"}]
end
